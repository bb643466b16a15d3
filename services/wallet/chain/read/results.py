"""Decoding of a node's answers about transactions: the outcome, the reason, and the cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stellar_sdk import StrKey, xdr

from services.wallet.chain.build.calls import FarmCall
from services.wallet.chain.errors import UnknownAnswerError, error_name
from services.wallet.chain.node.fields import (
    Json,
    integer,
    needed,
    objects,
    raw_bytes,
    text,
    texts,
)
from services.wallet.chain.node.newer import decoded
from services.wallet.chain.node.transaction_results import RESULT_TEXT, telling
from services.wallet.chain.read.result_bytes import fee_of_one_call
from services.wallet.chain.read.return_values import call_error, host_error, returned
from services.wallet.domain.chain_facts import (
    STATUSES,
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
#: Bytes of the charged fee at the beginning of a result, and characters of an unknown status.
_FEE_BYTES, _STATUS_TEXT = 8, 40


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

        `functions` are the functions that the transaction calls. What a newer network says in a
        way that is not known has the status UNKNOWN: a ledger has the transaction.
        """
        if answer["status"] == OutcomeStatus.NOT_FOUND.value:
            return Outcome(status=OutcomeStatus.NOT_FOUND, head=head)
        ledger = integer(answer, "ledger", low=1, high=head.sequence)
        try:
            return self._understood(answer, head, ledger, functions)
        except UnknownAnswerError as error:
            return Outcome(
                status=OutcomeStatus.UNKNOWN,
                head=head,
                ledger=ledger,
                fee_charged=_fee(answer),
                unknown=str(error),
            )

    def _understood(
        self, answer: Json, head: LedgerHead, ledger: int, functions: Sequence[str]
    ) -> Outcome:
        """Return the outcome of a transaction that a ledger has; raise UnknownAnswerError."""
        status = status_of(answer)
        encoded = text({"resultXdr": needed(answer, "resultXdr")}, "resultXdr", longest=RESULT_TEXT)
        fee, result = fee_of_one_call(encoded), None
        if fee is None:
            result = decoded(xdr.TransactionResult, raw_bytes(encoded, "resultXdr"))
            fee = result.fee_charged.int64
        succeeded = status is OutcomeStatus.SUCCESS
        if succeeded is not (result is None or str(result.result.code.name) in _WORKED):
            raise ValueError("status is not that of resultXdr")
        if fee < 0:
            raise ValueError("resultXdr has a negative fee")
        return Outcome(
            status=status,
            head=head,
            ledger=ledger,
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
        found = self._error_in(texts(answer, "events", most=_EVENTS, longest=_EVENT_TEXT))
        return found or _parse_host_error(str(answer.get("error", "")))

    def failing_call(self, answer: Json, calls: Sequence[FarmCall]) -> Refusal | None:
        """Return the first call of a multicall that would fail; None when none would."""
        needed(answer, "results")
        (found,) = objects(answer, "results", most=1)
        encoded = raw_bytes(text(found, "xdr", longest=RESULT_TEXT), "xdr")
        try:
            value = decoded(xdr.SCVal, encoded)
        except UnknownAnswerError:
            if len(calls) > 1:
                raise
            return None  # a call that returns something works
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
        found = self._error_in(events)
        return found or ContractError(raiser="transaction", code=_failure_code(result))

    def _error_in(self, events: Iterable[str]) -> ContractError | None:
        """Return the first error event; None behind an event that is not known.

        Events are ordered oldest first, and later error events only pass the first one on.
        """
        for encoded in events:
            try:
                event = decoded(xdr.DiagnosticEvent, raw_bytes(encoded, "events")).event
            except UnknownAnswerError:
                return None
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


def status_of(answer: Json) -> OutcomeStatus:
    """Read the status of a transaction.

    Raises UnknownAnswerError for a status that nodes did not have so far.
    """
    status = answer["status"]
    if not isinstance(status, str):
        raise TypeError("status is no text")
    if status not in STATUSES:
        raise UnknownAnswerError(f"the status {status[:_STATUS_TEXT]}")
    return STATUSES[status]


def _fee(answer: Json) -> int:
    """Return the stroops at the beginning of a result that is not known; 0 when there are none."""
    try:
        result = raw_bytes(answer.get("resultXdr"), "resultXdr")
    except (TypeError, ValueError):
        return 0
    return max(0, int.from_bytes(result[:_FEE_BYTES], "big", signed=True))


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
