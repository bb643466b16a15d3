"""Decoding of a node's answers about transactions: the outcome, the reason, and the cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stellar_sdk import StrKey, xdr

from services.wallet.chain.build.calls import FarmCall
from services.wallet.chain.errors import error_name
from services.wallet.chain.node.fields import Json, integer, objects, text, texts
from services.wallet.chain.node.transaction_results import RESULT_TEXT, telling
from services.wallet.chain.read.result_bytes import fee_of_one_call
from services.wallet.chain.read.return_values import call_error, host_error, returned
from services.wallet.domain.chain_facts import (
    ContractError,
    LedgerHead,
    Outcome,
    OutcomeStatus,
)

_UNKNOWN = ContractError(raiser="host", code="Unknown")
#: Result codes of a transaction that worked.
_WORKED = frozenset({"txSUCCESS", "txFEE_BUMP_INNER_SUCCESS"})
#: Diagnostic events of one transaction at most, and their characters: 25 harvests have 35,000.
_EVENTS, _EVENT_TEXT = 10_000, 256 * 1024
#: Characters of a simulation's error at most, and the number of them that is kept.
_ERROR_TEXT, _KEPT_TEXT = 1_000_000, 2_000


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A simulation that says that the call would fail."""

    #: The reason, and who raised the error.
    error: ContractError
    #: The node's words.
    message: str
    #: The position of the call of a multicall that fails; None when the whole multicall fails.
    position: int | None = None


class ResultReader:
    """Decoder of answers, which knows which contract is the farm and which is the token."""

    def __init__(self, *, farm: str, token: str) -> None:
        self._raisers = {
            StrKey.decode_contract(farm): "farm",
            StrKey.decode_contract(token): "token",
        }

    def outcome(self, answer: Json, head: LedgerHead, functions: Sequence[str]) -> Outcome:
        """Return the outcome of a transaction in an answer of getTransaction or getTransactions.

        `functions` are the functions that the transaction calls. UnknownMetaError says nothing
        about the transaction.
        """
        status = OutcomeStatus(answer["status"])
        if status is OutcomeStatus.NOT_FOUND:
            return Outcome(status=status, head=head)
        encoded = text(answer, "resultXdr", longest=RESULT_TEXT)
        fee, result = fee_of_one_call(encoded), None
        if fee is None:
            result = xdr.TransactionResult.from_xdr(encoded)
            fee = result.fee_charged.int64
        succeeded = status is OutcomeStatus.SUCCESS
        if succeeded is not (result is None or str(result.result.code.name) in _WORKED):
            raise ValueError("status is not that of resultXdr")
        if fee < 0:
            raise ValueError("resultXdr has a negative fee")
        return Outcome(
            status=status,
            head=head,
            ledger=integer(answer, "ledger", low=1, high=head.sequence),
            fee_charged=fee,
            results=returned(answer, functions) if succeeded else (),
            error=None if succeeded or result is None else self._failure(answer, result),
            failing=() if succeeded or result is None else _failing(result),
        )

    def refusal(self, answer: Json) -> Refusal | None:
        """Return the reason why a simulation failed as a whole; None when it did not."""
        if not answer.get("error"):
            return None
        message = text(answer, "error", longest=_ERROR_TEXT)[:_KEPT_TEXT]
        return Refusal(error=self.simulation_error(answer), message=message)

    def simulation_error(self, answer: Json) -> ContractError:
        """Return the reason why a simulation failed, by the diagnostic events in its answer."""
        events = map(
            xdr.DiagnosticEvent.from_xdr, texts(answer, "events", most=_EVENTS, longest=_EVENT_TEXT)
        )
        return self._error_in(events) or _parse_host_error(str(answer.get("error", "")))

    def failing_call(self, answer: Json, calls: Sequence[FarmCall]) -> Refusal | None:
        """Return the first call of a multicall that would fail; None when none would."""
        (found,) = objects(answer, "results", most=1)
        value = xdr.SCVal.from_xdr(text(found, "xdr", longest=RESULT_TEXT))
        if value.vec is None and len(calls) == 1:
            return None
        if value.vec is None:
            raise ValueError("results has one for several calls")
        for position, (item, call) in enumerate(zip(value.vec.sc_vec, calls, strict=True)):
            if item.error is not None:
                error = call_error(item.error, call.invocation.function)
                message = f"the call of {call.farmer} fails"
                return Refusal(error=error, message=message, position=position)
        return None

    def _failure(self, answer: Json, result: xdr.TransactionResult) -> ContractError:
        events = texts(answer, "diagnosticEventsXdr", most=_EVENTS, longest=_EVENT_TEXT)
        found = self._error_in(map(xdr.DiagnosticEvent.from_xdr, events))
        return found or ContractError(raiser="transaction", code=_failure_code(result))

    def _error_in(self, events: Iterable[xdr.DiagnosticEvent]) -> ContractError | None:
        """Return the first error event.

        Events are ordered oldest first, and later error events only pass the first one on.
        """
        for diagnostic in events:
            event = diagnostic.event
            topics = event.body.v0.topics if event.body.v0 is not None else []
            if len(topics) < 2 or topics[0].sym is None or topics[0].sym.sc_symbol != b"error":
                continue
            error = topics[1].error
            if error is None:
                continue
            raiser = "host"
            if event.contract_id is not None:
                raw = event.contract_id.contract_id.hash
                raiser = self._raisers.get(raw, "host")
            return _contract_error(raiser, error)
        return None


def _contract_error(raiser: str, error: xdr.SCError) -> ContractError:
    if error.type is xdr.SCErrorType.SCE_CONTRACT and error.contract_code is not None:
        number = error.contract_code.uint32
        return ContractError(raiser=raiser, code=error_name(raiser, number))
    return host_error(error)


def _parse_host_error(message: str) -> ContractError:
    """Parse `HostError: Error(Storage, ExceededLimit)` as an error; events may be missing."""
    inside = message.partition("Error(")[2].partition(")")[0]
    kind, _, code = inside.partition(", ")
    if not code:
        return _UNKNOWN
    return ContractError(raiser="host", code=f"{kind}/{code}")


def _failure_code(result: xdr.TransactionResult) -> str:
    """Return the operation's own code where there is one, such as INVOKE_HOST_FUNCTION_TRAPPED."""
    body = telling(result)
    operations = body.results or []
    for operation in operations:
        code = _operation_code(operation)
        if code is not None:
            return code
    return str(body.code.name)


def _failing(result: xdr.TransactionResult) -> tuple[int, ...]:
    """Return the positions of the operations that failed.

    The other operations of their transaction failed only with them.
    """
    operations = enumerate(telling(result).results or [])
    return tuple(position for position, item in operations if _operation_code(item) is not None)


def _operation_code(operation: xdr.OperationResult) -> str | None:
    """Return the code of a failed operation; None when it succeeded."""
    if operation.tr is None:
        return str(operation.code.name)
    for name, value in vars(operation.tr).items():
        if name != "type" and value is not None:
            code = str(value.code.name)
            return None if code.endswith("_SUCCESS") else code
    return None
