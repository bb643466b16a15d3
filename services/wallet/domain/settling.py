"""The settlement of an operation that follows from new knowledge about it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import assert_never

from libs.common.ids import OperationId
from libs.kale.hash import leading_zeros
from services.wallet.domain.blocks import Readiness, Verdict, readiness
from services.wallet.domain.chain_facts import ContractError, PailState
from services.wallet.domain.kinds import OPERATION_KINDS, Returned
from services.wallet.domain.model import (
    CarriedOperation,
    ChainHead,
    FailureReason,
    OperationEvent,
    OperationKind,
    QueuedOperation,
    Settlement,
)
from services.wallet.domain.outcomes import Action, keeps_failing, may_retry, meaning, pause
from services.wallet.domain.payment_orders import OF_DESTINATION
from services.wallet.domain.submission import ABOVE_CAP, BAD_AUTH

AnyOperation = QueuedOperation | CarriedOperation


def share(total: int, parts: int, position: int) -> int:
    """Return one part of a fee that several operations caused; the parts add up to the total."""
    return total // parts + (1 if position < total % parts else 0)


#: A transaction that failed as a whole is tried again in so many parts.
_PARTS = 4


def smaller(count: int) -> int:
    """Return how many operations may go together after `count` of them failed together."""
    return max(1, count // _PARTS)


def succeeded(operation: AnyOperation, *, value: int | None, ledger: int, fee: int) -> Settlement:
    """Settle an operation whose included transaction worked.

    `value` is what the contract returned.
    """
    returned = OPERATION_KINDS[operation.kind].returned
    amount = value if returned is Returned.REWARD else None
    if operation.kind is OperationKind.PLANT:
        amount = operation.amount
    return Settlement(
        operation_id=operation.id,
        event=OperationEvent.SUCCEED,
        amount=amount,
        stake_returned=_stake_returned(operation),
        gap=value if returned is Returned.GAP else None,
        ledger=ledger,
        fee=fee,
    )


def _stake_returned(operation: AnyOperation) -> int:
    """Return what a harvest gave back, as it was recorded when its transaction was signed."""
    return operation.stake_returned if isinstance(operation, CarriedOperation) else 0


def shown_paid(operation_id: OperationId, *, ledger: int, by: str, fee: int = 0) -> Settlement:
    """Settle a payment that its payer's number shows to have been made, by an envelope (hash)."""
    return Settlement(
        operation_id=operation_id,
        event=OperationEvent.SUCCEED,
        ledger=ledger,
        fee=fee,
        message=paid_by(by),
    )


def paid_by(envelope: str) -> str:
    """Return the reason why a payment counts as made.

    The reason names the payer's number, and the envelope (hash) that made the payment.
    """
    return f"the payer's number shows that it was paid, by {envelope}"


def planted_already(operation: AnyOperation, pail: PailState, *, fee: int) -> Settlement:
    """Settle a plant whose pail is on the chain, with the stake and the ledger of that pail."""
    return Settlement(
        operation_id=operation.id,
        event=OperationEvent.SUCCEED,
        amount=pail.stake,
        ledger=pail.sequence,
        fee=fee,
    )


def worked_already(operation: AnyOperation, pail: PailState, *, fee: int) -> Settlement | None:
    """Settle a work by its pail when an earlier envelope of its own has done it.

    What nodes said of that envelope does not count. Returns None when the pail does not show the
    work.
    """
    earlier = operation.attempts - isinstance(operation, CarriedOperation)
    if earlier < 1 or pail.zeros is None or pail.zeros != _zeros(operation):
        return None
    gap = pail.gap or 0
    return succeeded(operation, value=gap, ledger=pail.sequence + gap, fee=fee)


def _zeros(operation: AnyOperation) -> int | None:
    """Return the leading zeros of a work's hash."""
    if isinstance(operation, CarriedOperation):
        return operation.zeros
    return None if operation.hash is None else leading_zeros(operation.hash)


def done_already(operation: AnyOperation, pail: PailState, *, fee: int) -> Settlement | None:
    """Settle an operation by its pail when it is done already; return None when it is not."""
    match operation.kind:
        case OperationKind.PLANT:
            return planted_already(operation, pail, fee=fee)
        case OperationKind.WORK:
            return worked_already(operation, pail, fee=fee)
        case (
            OperationKind.HARVEST
            | OperationKind.DATA_ENTRY
            | OperationKind.CLOSE_ACCOUNT
            | OperationKind.ONBOARD
            | OperationKind.OPEN_CHANNEL
            | OperationKind.OPEN_PAYER
            | OperationKind.TOP_UP
            | OperationKind.WITHDRAW
            | OperationKind.PAYOUT
            | OperationKind.POOL_PAYMENT
        ):
            return None
    assert_never(operation.kind)


def given_up(
    operation: AnyOperation,
    reason: FailureReason,
    message: str,
    *,
    ledger: int = 0,
    fee: int = 0,
    asked: int = 0,
) -> Settlement:
    """Settle an operation that cannot work.

    `asked` is what its envelope would have had to bid (stroops), when the price is the reason.
    """
    return Settlement(
        asked=asked,
        operation_id=operation.id,
        event=OperationEvent.FAIL,
        ledger=ledger,
        fee=fee,
        reason=reason,
        message=message,
    )


def later(
    operation: AnyOperation,
    *,
    due_ledger: int = 0,
    seconds: float = 0.0,
    fee: int = 0,
    pack_limit: int | None = None,
) -> Settlement:
    """Put an operation off, until a ledger and until some seconds have passed."""
    return Settlement(
        operation_id=operation.id,
        event=OperationEvent.RETRY,
        due_ledger=due_ledger,
        pause=seconds,
        fee=fee,
        pack_limit=pack_limit,
    )


def apart(
    claimed: Sequence[QueuedOperation],
) -> tuple[list[QueuedOperation], list[QueuedOperation]]:
    """Split operations into those that share a transaction of the treasury now and those that wait.

    The second list waits for the next transaction. A transaction happens as a whole or not at all.
    So an operation that failed before goes alone, unless the ledger said that others failed: it
    must not hold up the others again. The oldest operation has its turn first. Otherwise a caller
    who keeps asking for an operation that fails would keep those that failed with it waiting for
    ever.
    """
    # Ids are in the order of time.
    waiting = sorted(claimed, key=lambda operation: operation.id)
    if not waiting or goes_alone(waiting[0]):
        return waiting[:1], waiting[1:]
    fresh = [operation for operation in waiting if not goes_alone(operation)]
    return fresh, [operation for operation in waiting if goes_alone(operation)]


def goes_alone(operation: QueuedOperation) -> bool:
    """Tell whether an operation failed before, and nobody said that only others were the reason."""
    return operation.attempts > 0 and (operation.pack_limit or 1) == 1


def judged(operation: AnyOperation, verdict: Verdict, head: ChainHead) -> Settlement | None:
    """Settle a queued operation by its block's verdict; return None when it can be tried now."""
    match verdict.readiness:
        case Readiness.GO:
            return None
        case Readiness.WAIT:
            return later(operation, due_ledger=head.ledger + 1)
        case Readiness.FAIL:
            return given_up(operation, verdict.reason or FailureReason.REFUSED, verdict.message)
    assert_never(verdict.readiness)


def excluded(
    operation: CarriedOperation, head: ChainHead, *, last_answer: str, is_own: bool = False
) -> Settlement:
    """Settle an operation whose envelope is proven never to be included.

    The operation gets another envelope or ends. When the cap kept the envelope out, that is the
    reason that people can do something about. With `is_own` the envelope's source was the farmer's
    account: one that has locked the pool's key out since wallet looked would do so again.
    """
    if is_own and last_answer == BAD_AUTH and OPERATION_KINDS[operation.kind].has_block:
        return _expired(operation, FailureReason.ACCOUNT_LOCKED, last_answer)
    if last_answer == ABOVE_CAP and OPERATION_KINDS[operation.kind].has_block:
        return _expired(operation, FailureReason.FEE_CAP, last_answer)
    verdict = readiness(operation.kind, operation.block_index, head)
    if verdict.readiness is Readiness.FAIL:
        return _expired(operation, verdict.reason or FailureReason.EXPIRED, verdict.message)
    if not may_retry(operation.kind, operation.attempts):
        message = f"no ledger took any of {operation.attempts} envelopes"
        return _expired(operation, FailureReason.EXPIRED, message)
    if not OPERATION_KINDS[operation.kind].has_block:
        # The operations that wait behind it have their turn meanwhile.
        due = head.ledger + pause(operation.kind, operation.attempts)
        return later(operation, due_ledger=due, pack_limit=1)
    return later(operation)


def refused(
    operation: AnyOperation,
    error: ContractError,
    head: ChainHead,
    *,
    pail: PailState | None,
    ledger: int = 0,
    fee: int = 0,
    together: int = 1,
) -> Settlement:
    """Settle an operation that a simulation or a ledger refused.

    `pail` is the farmer's pail, where that tells whether the operation is done already. `head` must
    not be older than the refusal: a call that met the next block is reported with that reason.
    `together` operations failed as one; which of them is the reason is not known.
    """
    verdict = readiness(operation.kind, operation.block_index, head)
    what = meaning(operation.kind, error)
    done = None
    if what.action is Action.LOOK_UP_PAIL and pail is not None:
        done = done_already(operation, pail, fee=fee)
    if done is not None:
        return done
    if verdict.readiness is Readiness.FAIL:
        reason = verdict.reason or FailureReason.REFUSED
        return given_up(operation, reason, verdict.message, ledger=ledger, fee=fee)
    if what.is_final and together == 1:
        reason = what.reason or FailureReason.REFUSED
        return given_up(operation, reason, str(error), ledger=ledger, fee=fee)
    if what.action is not Action.WAIT and not may_retry(operation.kind, operation.attempts):
        return given_up(operation, FailureReason.REFUSED, str(error), ledger=ledger, fee=fee)
    if together == 1 and keeps_failing(operation.kind, operation.attempts):
        return given_up(operation, FailureReason.KEEPS_FAILING, str(error), ledger=ledger, fee=fee)
    due = head.ledger + pause(operation.kind, operation.attempts)
    alone = not OPERATION_KINDS[operation.kind].has_block
    limit = None if what.action is Action.WAIT else 1 if alone else smaller(together)
    return later(operation, due_ledger=due, fee=fee, pack_limit=limit)


def failing_parts(
    operations: Sequence[CarriedOperation], failing: Collection[int]
) -> dict[OperationId, frozenset[int]]:
    """Return which payments of which operations failed, by their places in a transaction.

    An operation may make several payments, one after the other.
    """
    found: dict[OperationId, frozenset[int]] = {}
    first = 0
    for operation in operations:
        own = frozenset(
            place - first for place in failing if first <= place < first + operation.payments
        )
        found |= {operation.id: own} if own else {}
        first += operation.payments
    return found


def as_fee(
    settlement: Settlement, operation: CarriedOperation, parts: Collection[int]
) -> Settlement:
    """Tell of an operation that was given up that only its fees could not be paid, if that is so.

    Asked for again, it is made without them.
    """
    first_fee = operation.payments - operation.fees
    is_of_fees = bool(parts) and min(parts) >= first_fee
    if is_of_fees and settlement.reason in OF_DESTINATION:
        return replace(settlement, reason=FailureReason.FEE_REFUSED)
    return settlement


def _expired(operation: AnyOperation, reason: FailureReason, message: str) -> Settlement:
    return Settlement(
        operation_id=operation.id,
        event=OperationEvent.EXPIRE,
        reason=reason,
        message=message,
    )
