"""Refusals that no repetition cures: whoever asks again is answered by the same operation.

A refusal ends when its cause has changed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from libs.common.ids import OperationId, PoolerId
from services.wallet.domain.model import FailureReason

#: Reasons that somebody has to remove: the pool's operator, or the farm's admin.
LASTING = frozenset(
    {
        FailureReason.FEE_CAP,
        FailureReason.FEE_BUDGET,
        FailureReason.RENT_DUE,
        FailureReason.FARM_PAUSED,
    }
)

#: Ledgers for which a price above the cap is believed.
PRICE_LEDGERS = 60


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An operation that ended for a reason in LASTING, under the terms that still hold."""

    #: The operation.
    operation_id: OperationId
    #: The pooler whose budget it is about.
    pooler_id: PoolerId | None
    #: Why.
    reason: FailureReason
    #: Stroops that its envelope would have had to bid; None when nobody knows.
    bid: int | None
    #: Seconds since it ended.
    age: float


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """State of the network and the farm now."""

    #: Inclusion fee (stroops) at which ledgers take a call of this kind.
    inclusion_fee: int
    #: Inclusion fee (stroops) at which an ordinary call keeps the cap.
    usual_fit: int
    #: The rent of the farm is due.
    is_rent_due: bool
    #: The farm's admin has paused planting.
    is_paused: bool
    #: Seconds for which a price above the cap is believed. No lower inclusion fee would help, as
    #: the bid is within the cap whenever the lowest one is; but nodes may have lied about what a
    #: call needs, and the network's prices move.
    price_stands: float


def stands(refusal: Refusal, now: Circumstances, *, has_room: Callable[[Refusal], bool]) -> bool:
    """Tell whether an operation would be refused again.

    `has_room` tells whether a budget has room, and counts what it allows. A refusal for a price
    that nobody knows is judged by the price of an ordinary call.
    """
    match refusal.reason:
        case FailureReason.FEE_CAP:
            return _is_too_dear(refusal, now)
        case FailureReason.FEE_BUDGET:
            return not has_room(refusal)
        case FailureReason.RENT_DUE:
            return now.is_rent_due
        case FailureReason.FARM_PAUSED:
            return now.is_paused
        case _:
            return False


def _is_too_dear(refusal: Refusal, now: Circumstances) -> bool:
    if refusal.bid is None:
        return now.inclusion_fee > now.usual_fit
    return refusal.age < now.price_stands


def standing(
    refusals: Iterable[Refusal], now: Circumstances, *, has_room: Callable[[Refusal], bool]
) -> list[Refusal]:
    """Return the refusals that would be repeated now, in the order of the first refusal."""
    ordered = sorted(refusals, key=lambda refusal: refusal.operation_id)
    return [refusal for refusal in ordered if stands(refusal, now, has_room=has_room)]


def mark_of(*terms: object) -> str:
    """Return a mark that stands for the terms: equal for equal terms, else different."""
    return sha256(repr(terms).encode()).hexdigest()[:16]
