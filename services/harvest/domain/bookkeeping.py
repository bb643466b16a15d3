"""What wallet's movements come to in the pool's ledger."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.ids import FarmerId, PoolerId

#: How a movement stands: a withdrawal was asked for, or an operation ended.
ASKED, SUCCEEDED, FAILED = "asked", "succeeded", "failed"


@dataclass(frozen=True, kw_only=True)
class Movement:
    """An operation that ended, or a withdrawal that was asked for, by wallet's own word."""

    #: wallet's operation.
    operation_id: UUID
    #: Its kind, as wallet names it: plant.
    kind: str
    #: ASKED, SUCCEEDED or FAILED.
    end: str
    #: Whose it is; None of what the pool does for itself.
    farmer_id: FarmerId | None
    #: The farmer's pooler.
    pooler_id: PoolerId | None
    #: KALE block of a plant, work or harvest.
    block_index: int
    #: Ledger that settled it; 0 when none did.
    ledger: int
    #: Hash of the transaction (hex), or empty.
    transaction_hash: str
    #: When it was asked for, or ended.
    at: datetime
    #: Stroops of KALE that a plant staked, or a harvest paid.
    amount: int
    #: Stroops of KALE that a withdrawal sends; 0 of all others.
    withdrawn_kale: int
    #: Stroops of XLM that it cost.
    fee: int


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a farmer's account holds on the chain, with nothing of the farmer's on its way."""

    #: The farmer.
    farmer_id: FarmerId
    #: Its pooler.
    pooler_id: PoolerId | None
    #: Stroops of KALE.
    kale: int
    #: Ledger at which the account was read.
    ledger: int


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in wallet's movements."""

    #: Moment of the movement that was read last.
    at: datetime
    #: Its operation.
    operation_id: UUID


@dataclass(frozen=True, kw_only=True)
class Bookkeeping:
    """How far everything is booked."""

    #: All movements up to here are booked.
    read: Position
    #: Stakes of blocks before this one are harvested, or booked as lost.
    lost_before: int


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A journal that takes from one account and gives to another."""

    #: Its kind, as the ledger names it.
    kind: str
    #: Stroops; of a cost those are of XLM.
    amount: int
    #: What it tells of.
    movement: Movement

    @property
    def block_index(self) -> int | None:
        """Return the block; None of what belongs to none."""
        has_block = self.movement.kind in {"plant", "work", "harvest"}
        return self.movement.block_index if has_block else None


@dataclass(frozen=True, kw_only=True)
class Bookings:
    """What is to be booked of some movements; whatever is booked already is booked once."""

    #: Transfers, and costs.
    transfers: Sequence[Transfer]
    #: Plants and harvests that did not happen: what was booked of them before is taken back.
    denials: Sequence[UUID]


def bookings_of(movements: Sequence[Movement]) -> Bookings:
    """Return what movements come to.

    The reward of a harvest, and what one costs, are booked with its event. An operation that failed
    may have been told as one that had succeeded before.
    """
    transfers = {
        (item.kind, item.movement.operation_id): item
        for movement in movements
        for item in _transfers(movement)
        if item.amount > 0
    }
    return Bookings(
        transfers=tuple(transfers.values()),
        denials=tuple(
            movement.operation_id
            for movement in movements
            if movement.end == FAILED and movement.kind in {"plant", "harvest"}
        ),
    )


def _transfers(movement: Movement) -> Iterator[Transfer]:
    if movement.kind == "plant" and movement.end == SUCCEEDED:
        yield Transfer(kind="plant", amount=movement.amount, movement=movement)
    if movement.kind == "withdraw":
        # Its end is told whether or not it was told before that it was asked for.
        yield Transfer(kind="withdrawal", amount=movement.withdrawn_kale, movement=movement)
        if movement.end != ASKED:
            ended = "payout" if movement.end == SUCCEEDED else "withdrawal_return"
            yield Transfer(kind=ended, amount=movement.withdrawn_kale, movement=movement)
    if movement.kind != "harvest" and movement.end != ASKED:
        yield Transfer(kind="cost", amount=movement.fee, movement=movement)
