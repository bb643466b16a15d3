"""The run of host functions: frames, events, errors, rollback; `invoke` is the entry point."""

from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from typing import Protocol

from stellar_sdk import StrKey, scval, xdr

from localnet.network import Network
from localnet.soroban import deploy, genesis
from localnet.soroban.auth import Authorized, EnforcingAuth, Frame, RecordingAuth
from localnet.soroban.contract import trap_words
from localnet.soroban.cost import Meter
from localnet.soroban.errors import HostError, host_error
from localnet.soroban.model import (
    AuthMode,
    Entry,
    Footprint,
    InvocationResult,
    LedgerInfo,
    LedgerView,
)
from localnet.soroban.registry import contract_for
from localnet.soroban.storage import FootprintError, Storage
from localnet.soroban.values import (
    arguments_of,
    check_argument,
    symbol,
    symbol_text,
    vector,
)

_BUDGET = xdr.SCErrorType.SCE_BUDGET


class Contract(Protocol):
    """A contract's functions by name."""

    @property
    def has_code(self) -> bool:
        """True for a contract of code; a part of the host has no VM that traps."""
        ...

    def no_function(self, name: str) -> HostError:
        """Return the error of a call of a function that the contract does not have."""
        ...

    def wrong_count(self, name: str) -> HostError:
        """Return the error of a call with another number of arguments."""
        ...

    def wrong_type(self, name: str) -> HostError:
        """Return the error of a call with an argument of another type."""
        ...

    def function(self, name: str) -> Callable[..., xdr.SCVal] | None:
        """Return the function of this name, or None."""
        ...


class Host:
    """One running invocation."""

    def __init__(
        self, storage: Storage, auth: RecordingAuth | EnforcingAuth, ledger: LedgerInfo
    ) -> None:
        self.storage = storage
        self.ledger = ledger
        self.meter = Meter(settings=ledger.settings)
        self._auth = auth
        self._frames: list[Frame] = []
        self._events: list[xdr.ContractEvent] = []
        self._diagnostics: list[xdr.ContractEvent] = []
        #: Places of the diagnostic events of nested calls that failed.
        self._undone: set[int] = set()

    @property
    def frame(self) -> Frame:
        """The frame of the running call."""
        return self._frames[-1]

    @property
    def is_nested(self) -> bool:
        """True when another contract made the running call."""
        return len(self._frames) > 1

    def call(self, contract: str, function: str, arguments: Sequence[xdr.SCVal]) -> xdr.SCVal:
        """Call a contract from another one; when the call fails, all its effects are undone."""
        try:
            return self._call(contract, function, arguments)
        except HostError as error:
            self._passed("call", error, function, arguments)
            raise

    def _call(self, contract: str, function: str, arguments: Sequence[xdr.SCVal]) -> xdr.SCVal:
        self._check_callable(contract, function)
        self.note_call(contract, function, arguments)
        model = self._model_of(contract)
        undo, forget, kept = self.storage.snapshot(), self._auth.snapshot(), len(self._events)
        noted = len(self._diagnostics)
        frame = Frame(
            contract=contract,
            function=function,
            arguments=tuple(arguments),
            depth=len(self._frames),
        )
        self._frames.append(frame)
        try:
            value = self._dispatch(model, frame)
        except HostError:
            undo()
            forget()
            del self._events[kept:]
            if self.is_nested:
                self._undone.update(range(noted, len(self._diagnostics)))
            raise
        finally:
            self._frames.pop()
            self._auth.leave(frame.depth)
        self.note_return(contract, function, value)
        return value

    def run(self, function: xdr.HostFunction) -> xdr.SCVal:
        """Run the host function that a transaction asks for."""
        if function.invoke_contract is not None:
            return self._run_call(function.invoke_contract)
        if function.wasm is not None:
            return deploy.upload(self, function.wasm)
        return deploy.create(self, deploy.creation_of(function))

    def _run_call(self, args: xdr.InvokeContractArgs) -> xdr.SCVal:
        if args.contract_address.contract_id is None:
            words = scval.to_string("invoked address doesn't belong to a contract")
            raise self.refuse(host_error("VALUE", "UNEXPECTED_TYPE", words))
        try:
            name = symbol_text(args.function_name)
            for argument in args.args:
                check_argument(argument)
        except ValueError as error:
            raise host_error("VALUE", "INVALID_INPUT") from error
        contract = StrKey.encode_contract(args.contract_address.contract_id.contract_id.hash)
        return self._call(contract, name, args.args)

    def try_call(
        self, contract: str, function: str, arguments: Sequence[xdr.SCVal]
    ) -> xdr.SCVal | xdr.SCError:
        """Call a contract and catch its failure.

        A failure of the footprint or of the budget is not caught.
        """
        try:
            return self._call(contract, function, arguments)
        except HostError as error:
            self._passed("try_call", error, function, arguments)
            if isinstance(error, FootprintError) or error.error.type is _BUDGET:
                raise
            return error.caught

    def authorize(self, address: str, creation: Authorized) -> None:
        """Require that the address has allowed the creation of a contract."""
        self.meter.charge(self._auth.require(address, creation))
        self._auth.leave(creation.depth)

    def note_call(self, contract: str, function: str, arguments: Sequence[xdr.SCVal]) -> None:
        """Note the diagnostic event of a call that begins."""
        raw = scval.to_bytes(StrKey.decode_contract(contract))
        topics = [symbol("fn_call"), raw, symbol(function)]
        self._note(self._running, topics, arguments_of(arguments))

    def note_return(self, contract: str, function: str, value: xdr.SCVal) -> None:
        """Note the diagnostic event of a call that succeeded."""
        self._note(contract, [symbol("fn_return"), symbol(function)], value)

    def require_auth(self, address: str) -> None:
        """Require that the address has allowed the running call.

        A calling contract allows the call by making it.
        """
        if self.is_nested and self._frames[-2].contract == address:
            return
        self.meter.charge(self._auth.require(address, self.frame))

    def emit(
        self,
        topics: Sequence[xdr.SCVal],
        data: xdr.SCVal,
        kind: xdr.ContractEventType = xdr.ContractEventType.CONTRACT,
    ) -> None:
        """Emit an event of the running contract."""
        event = _event(self.frame.contract, kind, topics=topics, data=data)
        self._events.append(event)
        self._diagnostics.append(event)

    def events(self) -> tuple[xdr.ContractEvent, ...]:
        """Return the contract events that were not undone."""
        return tuple(self._events)

    def diagnostics(self, *, ok: bool) -> tuple[xdr.DiagnosticEvent, ...]:
        """Return all events in order."""
        return tuple(
            xdr.DiagnosticEvent(in_successful_contract_call=ok, event=event)
            for event in self._diagnostics
        )

    @property
    def undone(self) -> frozenset[int]:
        """Places of the diagnostic events of nested calls that failed."""
        return frozenset(self._undone)

    @property
    def _running(self) -> str | None:
        """The running contract; None before the first call."""
        return self._frames[-1].contract if self._frames else None

    def _check_callable(self, contract: str, function: str) -> None:
        """Check that the function may be called.

        Raises Error(Context, InvalidAction) for the host's own functions and for running contracts.
        """
        if function.startswith("__"):
            words = scval.to_string("can't invoke a reserved function directly")
            raise self.refuse(host_error("CONTEXT", "INVALID_ACTION", words, symbol(function)))
        if any(frame.contract == contract for frame in self._frames):
            words = scval.to_string("Contract re-entry is not allowed")
            raise self.refuse(host_error("CONTEXT", "INVALID_ACTION", words))

    def _model_of(self, contract: str) -> Contract:
        try:
            return contract_for(self, contract)
        except FootprintError:
            raise
        except HostError as error:
            raise self.refuse(error) from error

    def refuse(self, error: HostError) -> HostError:
        """Note why a call or a deployment is not made; return the error to raise."""
        error.explained = True
        self._error(error, _said(error))
        return error

    def _dispatch(self, contract: Contract, frame: Frame) -> xdr.SCVal:
        try:
            return self._run_function(contract, frame)
        except HostError as error:
            if contract.has_code:
                self._explain(error)
            elif error.words and not error.explained:
                self.refuse(error)
            raise

    def _run_function(self, contract: Contract, frame: Frame) -> xdr.SCVal:
        function = contract.function(frame.function)
        if function is None:
            raise contract.no_function(frame.function)
        if len(signature(function).parameters) != len(frame.arguments):
            raise contract.wrong_count(frame.function)
        try:
            return function(*frame.arguments)
        except ValueError as error:
            # An argument has another type than the contract declares.
            raise contract.wrong_type(frame.function) from error

    def _passed(
        self, how: str, error: HostError, function: str, arguments: Sequence[xdr.SCVal]
    ) -> None:
        """Note the caller's event about a failed call.

        `how` is the host function that made the call.
        """
        error.explained, error.function = True, how
        words = scval.to_string(f"contract {how} failed")
        self._error(error, vector(words, symbol(function), vector(*arguments)))

    def _explain(self, error: HostError) -> None:
        """Note the events of the call in which an error arose, and of each call it ends."""
        if error.explained:
            self._escalated(error, error.function)
            return
        error.explained = True
        if error.is_trap and not error.words:
            error.words = trap_words(self.frame.function)
        if error.function:
            self._trapped(error, _said(error), error.function)
        elif error.words:
            self._error(error, _said(error))
        elif error.error.contract_code is not None:
            number = scval.to_uint32(error.error.contract_code.uint32)
            words = scval.to_string("failing with contract error")
            self._trapped(error, vector(words, number), "fail_with_error")

    def _trapped(self, error: HostError, data: xdr.SCVal, function: str) -> None:
        """Note the three events with which a trapping VM gives its reason."""
        self._error(error, data)
        self._escalated(error, function)

    def _escalated(self, error: HostError, function: str) -> None:
        """Note the events of a VM that traps because a function of the host failed."""
        words = f"escalating error to VM trap from failed host function call: {function}"
        self._error(error, scval.to_string(words))
        last = vector(
            scval.to_string("VM call trapped with HostError"),
            symbol(self.frame.function),
            _error_value(error),
        )
        self._note(self.frame.contract, [symbol("log")], last)

    def _error(self, error: HostError, data: xdr.SCVal) -> None:
        self._note(self._running, [symbol("error"), _error_value(error)], data)

    def _note(self, contract: str | None, topics: Sequence[xdr.SCVal], data: xdr.SCVal) -> None:
        event = _event(contract, xdr.ContractEventType.DIAGNOSTIC, topics=topics, data=data)
        self._diagnostics.append(event)


def invoke(
    view: LedgerView,
    function: xdr.HostFunction,
    *,
    ledger: LedgerInfo,
    source: str,
    auth: Sequence[xdr.SorobanAuthorizationEntry] | None,
    footprint: Footprint | None,
    auth_mode: AuthMode,
) -> InvocationResult:
    """Run a host function as a transaction of `source` would; nothing is kept in the view.

    The `auth_mode` enforce takes signed entries in `auth`. The record modes grant everything and
    record the trees. With `footprint` None the touched keys are recorded; otherwise the footprint
    is enforced.
    """
    storage = Storage(view, ledger, footprint)
    granting = (
        EnforcingAuth(storage, source, ledger, auth or ())
        if auth_mode == "enforce"
        else RecordingAuth(storage, source, allow_nonroot=auth_mode == "record_allow_nonroot")
    )
    host = Host(storage, granting, ledger)
    value: xdr.SCVal | None = None
    error: xdr.SCError | None = None
    try:
        value = host.run(function)
    except HostError as failure:
        error = failure.error
    ok = error is None
    return InvocationResult(
        ok=ok,
        value=value,
        error=error,
        events=host.events() if ok else (),
        diagnostics=host.diagnostics(ok=ok),
        undone=host.undone,
        changes=storage.changes() if ok else (),
        footprint=storage.footprint(),
        auth=granting.entries(),
        resources=host.meter.total(),
    )


def genesis_entries(network: Network, ledger: LedgerInfo) -> Iterable[tuple[bytes, Entry]]:
    """Return the contracts as their constructors left them, as (LedgerKey XDR, entry)."""
    return genesis.entries(network, ledger)


def _error_value(error: HostError) -> xdr.SCVal:
    return xdr.SCVal(xdr.SCValType.SCV_ERROR, error=error.error)


def _said(error: HostError) -> xdr.SCVal:
    return error.words[0] if len(error.words) == 1 else vector(*error.words)


def _event(
    contract: str | None,
    kind: xdr.ContractEventType,
    *,
    topics: Sequence[xdr.SCVal],
    data: xdr.SCVal,
) -> xdr.ContractEvent:
    identifier = (
        None if contract is None else xdr.ContractID(xdr.Hash(StrKey.decode_contract(contract)))
    )
    return xdr.ContractEvent(
        ext=xdr.ExtensionPoint(0),
        contract_id=identifier,
        type=kind,
        body=xdr.ContractEventBody(0, v0=xdr.ContractEventV0(topics=list(topics), data=data)),
    )
