"""What wallet's movements come to in the pool's ledger."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.ids import FarmerId, PoolerId
from services.harvest.domain.credits import miner_id

#: How a movement stands: a withdrawal was asked for, or an operation ended.
ASKED, SUCCEEDED, FAILED = "asked", "succeeded", "failed"


@dataclass(frozen=True, kw_only=True)
class PayoutParts:
    """What a farmer's payout moves, in stroops of KALE."""

    #: To the farmer's payout address.
    amount: int
    #: To the pooler's custodial account: the pooler's part, and its miners'.
    pooler: int
    miners: int
    #: To the operator's address.
    operator: int


@dataclass(frozen=True, kw_only=True)
class PoolPayment:
    """What leaves a pooler's custodial account."""

    #: Stroops of KALE.
    amount: int
    #: Where to (strkey G...).
    destination: str
    #: Whether it is of the miners' part; else it is of the pooler's own.
    is_miner: bool


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
    #: Of a farmer's payout: its parts.
    payout: PayoutParts | None = None
    #: Of a payment from a pooler's custodial account: how much, and whose.
    pool_payment: PoolPayment | None = None


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
class FeePayment:
    """A journal of fees that left a farmer's account, or of what left a pooler's."""

    #: fee_payout, or pool_payment.
    kind: str
    #: Who is paid from a pooler's account; None of fees that left a farmer's.
    owner_id: UUID | None
    #: Stroops of the pooler's part, of its miners', and of the operator's.
    pooler: int = 0
    miners: int = 0
    operator: int = 0
    #: What it tells of.
    movement: Movement


@dataclass(frozen=True, kw_only=True)
class Bookings:
    """What is to be booked of some movements; whatever is booked already is booked once."""

    #: Transfers, and costs.
    transfers: Sequence[Transfer]
    #: Fees, and what is paid of them.
    payments: Sequence[FeePayment] = ()
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
        payments=tuple(
            payment
            for movement in movements
            if movement.end == SUCCEEDED
            for payment in _payments(movement)
            if payment.pooler + payment.miners + payment.operator > 0
        ),
        denials=tuple(
            movement.operation_id
            for movement in movements
            if movement.end == FAILED and movement.kind in {"plant", "harvest"}
        ),
    )


def _transfers(movement: Movement) -> Iterator[Transfer]:
    if movement.kind == "plant" and movement.end == SUCCEEDED:
        yield Transfer(kind="plant", amount=movement.amount, movement=movement)
    leaving = _leaving(movement)
    if leaving:
        # Its end is told whether or not it was told before that it was asked for.
        yield Transfer(kind="withdrawal", amount=leaving, movement=movement)
        if movement.end != ASKED:
            ended = "payout" if movement.end == SUCCEEDED else "withdrawal_return"
            yield Transfer(kind=ended, amount=leaving, movement=movement)
    if movement.kind != "harvest" and movement.end != ASKED:
        yield Transfer(kind="cost", amount=movement.fee, movement=movement)


def _leaving(movement: Movement) -> int:
    """Return the stroops of KALE of the farmer's own that leave its account."""
    if movement.kind == "withdraw":
        return movement.withdrawn_kale
    return 0 if movement.payout is None else movement.payout.amount


def _payments(movement: Movement) -> Iterator[FeePayment]:
    parts, payment = movement.payout, movement.pool_payment
    if parts is not None:
        yield FeePayment(
            kind="fee_payout",
            owner_id=None,
            pooler=parts.pooler,
            miners=parts.miners,
            operator=parts.operator,
            movement=movement,
        )
    if payment is not None and movement.pooler_id is not None:
        yield FeePayment(
            kind="pool_payment",
            owner_id=miner_id(movement.pooler_id, payment.destination)
            if payment.is_miner
            else movement.pooler_id,
            pooler=0 if payment.is_miner else payment.amount,
            miners=payment.amount if payment.is_miner else 0,
            movement=movement,
        )
