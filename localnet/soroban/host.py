"""Runs contracts: frames, events, errors, rollback; `invoke` is the way in."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from stellar_sdk import Address, StrKey, scval, xdr

from localnet.network import Network
from localnet.soroban import cost, genesis
from localnet.soroban.auth import EnforcingAuth, Frame, RecordingAuth
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
from localnet.soroban.storage import FootprintError, Storage, account_key
from localnet.soroban.values import VOID, arguments_of, is_account, symbol, vector


class Contract(Protocol):
    """A contract's functions by name."""

    def function(self, name: str) -> Callable[..., xdr.SCVal] | None:
        """The function, or None."""
        ...


class Host:
    """One invocation while it runs."""

    def __init__(
        self, storage: Storage, auth: RecordingAuth | EnforcingAuth, ledger: LedgerInfo
    ) -> None:
        self.storage = storage
        self.ledger = ledger
        self.meter = Meter(settings=ledger.settings)
        self._auth = auth
        self._frames: list[Frame] = []
        self._events: list[xdr.ContractEvent] = []
        self._diagnostics: list[tuple[xdr.ContractEvent, bool]] = []

    @property
    def frame(self) -> Frame:
        """The running call."""
        return self._frames[-1]

    @property
    def is_nested(self) -> bool:
        """Whether another contract made the running call."""
        return len(self._frames) > 1

    def call(self, contract: str, function: str, arguments: Sequence[xdr.SCVal]) -> xdr.SCVal:
        """Calls a contract; everything that it did is undone when it fails."""
        caller = self._frames[-1].contract if self._frames else None
        name = symbol(function)
        raw = scval.to_bytes(StrKey.decode_contract(contract))
        self._note(caller, [symbol("fn_call"), raw, name], arguments_of(arguments))
        undo, kept = self.storage.snapshot(), len(self._events)
        frame = Frame(
            contract=contract,
            function=function,
            arguments=tuple(arguments),
            depth=len(self._frames),
        )
        self._frames.append(frame)
        try:
            value = self._dispatch(frame)
        except HostError:
            undo()
            del self._events[kept:]
            raise
        finally:
            self._frames.pop()
            self._auth.leave(frame.depth)
        self._note(contract, [symbol("fn_return"), name], value)
        return value

    def try_call(
        self, contract: str, function: str, arguments: Sequence[xdr.SCVal]
    ) -> xdr.SCVal | xdr.SCError:
        """Calls a contract and catches its failure; a trap of storage or budget is not caught."""
        try:
            return self.call(contract, function, arguments)
        except FootprintError:
            raise
        except HostError as error:
            if error.error.type is xdr.SCErrorType.SCE_BUDGET:
                raise
            return error.caught

    def require_auth(self, address: str) -> None:
        """The address must have allowed the running call; a calling contract has, by calling."""
        if self.is_nested and self._frames[-2].contract == address:
            return
        if self._auth.require(address, self.frame):
            exists = is_account(address) and self.storage.get(account_key(address)) is not None
            self.meter.charge(cost.AUTH_WITH_ACCOUNT if exists else cost.AUTH_WITHOUT_ACCOUNT)

    def emit(self, topics: Sequence[xdr.SCVal], data: xdr.SCVal) -> None:
        """A contract event of the running contract."""
        event = _event(
            self.frame.contract, xdr.ContractEventType.CONTRACT, topics=topics, data=data
        )
        self._events.append(event)
        self._diagnostics.append((event, True))

    def events(self) -> tuple[xdr.ContractEvent, ...]:
        """Contract events that stand."""
        return tuple(self._events)

    def diagnostics(self, *, ok: bool) -> tuple[xdr.DiagnosticEvent, ...]:
        """All events in order."""
        return tuple(
            xdr.DiagnosticEvent(in_successful_contract_call=ok and stands, event=event)
            for event, stands in self._diagnostics
        )

    def _dispatch(self, frame: Frame) -> xdr.SCVal:
        contract = contract_for(self, frame.contract)
        function = contract.function(frame.function)
        if function is None:
            self._error(
                host_error("WASM_VM", "MISSING_VALUE"),
                vector(
                    scval.to_string("trying to invoke non-existent contract function"),
                    symbol(frame.function),
                ),
            )
            raise host_error("WASM_VM", "MISSING_VALUE")
        try:
            return function(*frame.arguments)
        except HostError as error:
            self._explain(error, frame)
            raise
        except (TypeError, ValueError) as error:
            raise host_error("WASM_VM", "INVALID_ACTION") from error

    def _explain(self, error: HostError, frame: Frame) -> None:
        """Events of the call in which an error arose, and of each that it passes through."""
        if error.explained:
            words = scval.to_string("contract call failed")
            data = vector(words, symbol(frame.function), vector(*frame.arguments))
            self._trapped(error, data, "call")
            return
        error.explained = True
        if isinstance(error, FootprintError):
            self._trapped(error, _outside(error), "has_contract_data")
        elif error.error.contract_code is not None:
            number = scval.to_uint32(error.error.contract_code.uint32)
            words = scval.to_string("failing with contract error")
            self._trapped(error, vector(words, number), "fail_with_error")

    def _trapped(self, error: HostError, data: xdr.SCVal, function: str) -> None:
        """The three events with which a VM that traps says why."""
        self._error(error, data)
        words = f"escalating error to VM trap from failed host function call: {function}"
        self._error(error, scval.to_string(words))
        last = vector(
            scval.to_string("VM call trapped with HostError"),
            symbol(self.frame.function),
            _error_value(error),
        )
        self._note(self.frame.contract, [symbol("log")], last)

    def _error(self, error: HostError, data: xdr.SCVal) -> None:
        self._note(self.frame.contract, [symbol("error"), _error_value(error)], data)

    def _note(self, contract: str | None, topics: Sequence[xdr.SCVal], data: xdr.SCVal) -> None:
        event = _event(contract, xdr.ContractEventType.DIAGNOSTIC, topics=topics, data=data)
        self._diagnostics.append((event, True))


def invoke(
    view: LedgerView,
    args: xdr.InvokeContractArgs,
    *,
    ledger: LedgerInfo,
    source: str,
    auth: Sequence[xdr.SorobanAuthorizationEntry] | None,
    footprint: Footprint | None,
    auth_mode: AuthMode,
) -> InvocationResult:
    """Runs a call as a transaction of `source` would; nothing of it is kept in the view.

    `auth_mode` enforce takes signed entries in `auth`; the record modes grant everything and write
    the trees down. `footprint` None writes down what is touched, else it is enforced.
    """
    storage = Storage(view, ledger, footprint)
    granting = (
        EnforcingAuth(storage, source, ledger, auth or ())
        if auth_mode == "enforce"
        else RecordingAuth(storage, source, allow_nonroot=auth_mode == "record_allow_nonroot")
    )
    host = Host(storage, granting, ledger)
    contract = Address.from_xdr_sc_address(args.contract_address).address
    value: xdr.SCVal | None = None
    error: xdr.SCError | None = None
    try:
        value = host.call(contract, args.function_name.sc_symbol.decode(), args.args)
    except HostError as failure:
        error = failure.error
    ok = error is None
    return InvocationResult(
        ok=ok,
        value=value,
        error=error,
        events=host.events() if ok else (),
        diagnostics=host.diagnostics(ok=ok),
        changes=storage.changes() if ok else (),
        footprint=storage.footprint(),
        auth=granting.entries(),
        resources=host.meter.total(),
    )


def genesis_entries(network: Network, ledger: LedgerInfo) -> Iterable[tuple[bytes, Entry]]:
    """The contracts of a localnet as their constructors left them: (LedgerKey XDR, entry)."""
    return genesis.entries(network, ledger)


def _error_value(error: HostError) -> xdr.SCVal:
    return xdr.SCVal(xdr.SCValType.SCV_ERROR, error=error.error)


def _outside(error: FootprintError) -> xdr.SCVal:
    text = scval.to_string("trying to access contract data key outside of the footprint")
    return vector(text, *(error.key.subject or (VOID,)))


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
