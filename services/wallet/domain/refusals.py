"""Refusals that no repetition cures: who asks again is answered by the same operation.

That ends when what was in its way has changed.
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


@dataclass(frozen=True, kw_only=True)
class Price:
    """What an operation would have cost that was refused for that."""

    #: Stroops that its envelope would have had to bid for it.
    bid: int
    #: Inclusion fee (stroops) at which the cap would have been kept; None when no fee would do.
    fits_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An operation that ended for one of LASTING, under the terms that still hold."""

    #: The operation.
    operation_id: OperationId
    #: Whose budget it is about.
    pooler_id: PoolerId | None
    #: Why.
    reason: FailureReason
    #: Stroops that its envelope would have had to bid; None when nobody knows.
    bid: int | None
    #: See Price; None also when nobody knows.
    fits_at: int | None


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What the network and the farm are like now."""

    #: Stroops that get a call of this kind in.
    inclusion_fee: int
    #: Inclusion fee (stroops) at which an ordinary call keeps the cap.
    usual_fit: int
    #: The rent of the farm is due.
    is_rent_due: bool
    #: The farm's admin has paused planting.
    is_paused: bool


def stands(refusal: Refusal, now: Circumstances, *, has_room: Callable[[Refusal], bool]) -> bool:
    """Whether it would be refused again; `has_room` tells of a budget, and counts what it allows.

    What a price of nobody's knowledge was about is judged by that of an ordinary call.
    """
    match refusal.reason:
        case FailureReason.FEE_CAP:
            if refusal.bid is None:
                return now.inclusion_fee > now.usual_fit
            return refusal.fits_at is None or now.inclusion_fee > refusal.fits_at
        case FailureReason.FEE_BUDGET:
            return not has_room(refusal)
        case FailureReason.RENT_DUE:
            return now.is_rent_due
        case FailureReason.FARM_PAUSED:
            return now.is_paused
        case _:
            return False


def standing(
    refusals: Iterable[Refusal], now: Circumstances, *, has_room: Callable[[Refusal], bool]
) -> list[Refusal]:
    """Those of them that would be refused again, in the order in which they were refused first."""
    ordered = sorted(refusals, key=lambda refusal: refusal.operation_id)
    return [refusal for refusal in ordered if stands(refusal, now, has_room=has_room)]


def mark_of(*terms: object) -> str:
    """Stands for terms: the same for the same, another for others."""
    return sha256(repr(terms).encode()).hexdigest()[:16]
