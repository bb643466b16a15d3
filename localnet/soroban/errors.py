"""Failures of contracts and of the host, as the host reports them."""

from collections.abc import Sequence

from stellar_sdk import xdr


class HostError(Exception):
    """An error that ends a call; a contract that calls with `try` may catch it."""

    def __init__(
        self, error: xdr.SCError, *, words: Sequence[xdr.SCVal] = (), function: str = ""
    ) -> None:
        """Make an error; the caller sees `error`.

        The host's error event describes the error with `words`. `function` is the function of the
        host that failed (empty: outside of the contract's own code).
        """
        super().__init__(describe(error))
        self.error = error
        self.words = tuple(words)
        self.function = function
        #: True when the call in which the error arose has written its events.
        self.explained = False

    @property
    def is_contract(self) -> bool:
        """True when a contract raised the error by its number."""
        return self.error.type is xdr.SCErrorType.SCE_CONTRACT

    @property
    def is_trap(self) -> bool:
        """True when the contract's code itself trapped, as at a sum that overflows."""
        kind, code = xdr.SCErrorType.SCE_WASM_VM, xdr.SCErrorCode.SCEC_INVALID_ACTION
        return self.error.type is kind and self.error.code is code

    @property
    def caught(self) -> xdr.SCError:
        """The error that a catching contract sees.

        For host errors this is Error(Context, InvalidAction).
        """
        if self.is_contract:
            return self.error
        return xdr.SCError(xdr.SCErrorType.SCE_CONTEXT, code=xdr.SCErrorCode.SCEC_INVALID_ACTION)


def contract_error(number: int, *words: xdr.SCVal) -> HostError:
    """Make Error(Contract, #number); only contracts of the host itself describe it."""
    error = xdr.SCError(xdr.SCErrorType.SCE_CONTRACT, contract_code=xdr.Uint32(number))
    return HostError(error, words=words)


def host_error(kind: str, code: str, *words: xdr.SCVal, function: str = "") -> HostError:
    """Make a host error, for example host_error("STORAGE", "EXCEEDED_LIMIT").

    HostError describes the other parameters.
    """
    error = xdr.SCError(xdr.SCErrorType[f"SCE_{kind}"], code=xdr.SCErrorCode[f"SCEC_{code}"])
    return HostError(error, words=words, function=function)


def describe(error: xdr.SCError) -> str:
    """Return the host's text for an error.

    Examples are `Error(Contract, #8)` and `Error(Storage, ExceededLimit)`.
    """
    kind = _camel(error.type.name.removeprefix("SCE_"))
    if error.contract_code is not None:
        return f"Error({kind}, #{error.contract_code.uint32})"
    code = _camel(error.code.name.removeprefix("SCEC_")) if error.code is not None else ""
    return f"Error({kind}, {code})"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
