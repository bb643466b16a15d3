"""Fees that are due of a farmer's rewards: what was agreed, less what was paid before.

What is agreed follows from three things that wallet itself has sealed: the ends of harvests, the
moments when their blocks opened, and agreements. What was paid follows from payouts, which are
numbered without gaps. Neither is counted anew from the beginning each time: a mark keeps the sums,
with the blocks and the payouts that are in them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, unique
from typing import Protocol

from libs.kale.fees import FeeTerms, by_largest_remainder, split

#: Blocks for which a mark knows one by one what it counts: a week, as long as nodes remember whose
#: harvests may still be found.
WINDOW = 2016
_BYTES = WINDOW // 8


@dataclass(frozen=True, kw_only=True)
class Fees:
    """Parts of fees, in stroops of KALE."""

    #: The pooler's, without its miners'.
    pooler: int = 0
    #: The operator's.
    operator: int = 0
    #: The miners', which go where the pooler's go.
    miners: int = 0

    def __add__(self, other: "Fees") -> "Fees":
        """Add further fees."""
        return Fees(
            pooler=self.pooler + other.pooler,
            operator=self.operator + other.operator,
            miners=self.miners + other.miners,
        )

    def beyond(self, other: "Fees") -> "Fees":
        """Return what each part is beyond the other's; nothing where it is less."""
        return Fees(
            pooler=max(0, self.pooler - other.pooler),
            operator=max(0, self.operator - other.operator),
            miners=max(0, self.miners - other.miners),
        )

    @property
    def of_pooler(self) -> int:
        """Return what goes to the pooler's custodial account."""
        return self.pooler + self.miners

    @property
    def all(self) -> int:
        """Return what they come to."""
        return self.pooler + self.operator + self.miners


NOTHING = Fees()


class Effective(FeeTerms, Protocol):
    """An agreement: its parts, and from when on it counts."""

    @property
    def effective_at(self) -> datetime:
        """Return the moment from which on blocks that open go by it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Reward:
    """What a harvest paid for a block, the stake left out."""

    #: The block.
    block_index: int
    #: Stroops of KALE.
    amount: int


def fees_of(reward: int, opened_at: datetime, agreements: Sequence[Effective]) -> Fees:
    """Return the fees of a reward by the agreement that was in force when its block opened.

    Of those in the order of their numbers it is the newest that was effective by then; without one
    there are no fees.
    """
    terms = next((one for one in reversed(agreements) if one.effective_at <= opened_at), None)
    if terms is None:
        return NOTHING
    parts = split(reward, terms)
    return Fees(pooler=parts.pooler, operator=parts.operator, miners=parts.miners)


@unique
class Fate(Enum):
    """Result of a payment from an account, by wallet's own word."""

    #: It was made.
    PAID = "paid"
    #: It may be made, or was said to have failed only a moment ago.
    OPEN = "open"
    #: It was not made and never will be.
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Past:
    """A payment that was asked for before."""

    #: From 1 on, without gaps, of each account.
    number: int
    #: Its parts.
    parts: Fees
    #: What became of it.
    fate: Fate
    #: Whether that is old enough to stay so.
    is_final: bool = False


@dataclass(frozen=True, kw_only=True)
class Paid:
    """What payments of an account come to."""

    #: Those that were made.
    paid: Fees = NOTHING
    #: Those that may be made.
    in_flight: Fees = NOTHING

    @property
    def all(self) -> Fees:
        """Return what has left, or may."""
        return self.paid + self.in_flight


@dataclass(frozen=True, kw_only=True)
class FeeMark:
    """Sums of what an account's fees came to, and what of them was paid, up to a point."""

    #: The last block that the sums are about; -1 for none.
    until_block: int = -1
    #: Of the WINDOW blocks up to that one, those whose rewards are in the sums: a bit each, the
    #: lowest for the last.
    blocks: int = 0
    #: Fees of the rewards that are in the sums.
    accrued: Fees = NOTHING
    #: The last payment that is in the sums.
    until_number: int = 0
    #: Payments that were made, up to that one.
    paid: Fees = NOTHING

    def counts(self, block_index: int) -> bool:
        """Tell whether a reward of a block is in the sums, or too late to be counted."""
        age = self.until_block - block_index
        return age >= WINDOW or (age >= 0 and bool(self.blocks >> age & 1))

    @property
    def first_block(self) -> int:
        """Return the first block of which a reward may still be counted."""
        return self.until_block - WINDOW + 1

    @property
    def packed_blocks(self) -> bytes:
        """Return the blocks as the database keeps them."""
        return self.blocks.to_bytes(_BYTES, "big")


def unpacked_blocks(data: bytes) -> int:
    """Return the blocks that the database keeps."""
    return int.from_bytes(data, "big")


@dataclass(frozen=True, kw_only=True)
class Rewards:
    """What is known of a farmer's rewards beside its mark."""

    #: The rewards, in any order.
    rewards: Sequence[Reward] = ()
    #: When blocks opened, as far as wallet has sealed that.
    opened: Mapping[int, datetime] = field(default_factory=dict)
    #: The farmer's agreements, in the order of their numbers.
    agreements: Sequence[Effective] = ()

    def by_block(self, mark: FeeMark) -> dict[int, Fees]:
        """Return the fees of each block that the mark does not count, once.

        A block of which nobody knows when it opened waits.
        """
        return {
            item.block_index: fees_of(item.amount, self.opened[item.block_index], self.agreements)
            for item in self.rewards
            if item.block_index in self.opened and not mark.counts(item.block_index)
        }


def accrued(mark: FeeMark, rewards: Rewards) -> Fees:
    """Return the fees that are agreed of all rewards so far."""
    return sum(rewards.by_block(mark).values(), start=mark.accrued)


def paid(mark: FeeMark, past: Iterable[Past]) -> Paid:
    """Return what all payments come to."""
    sums = {Fate.PAID: mark.paid, Fate.OPEN: NOTHING, Fate.FAILED: NOTHING}
    for item in past:
        if item.number > mark.until_number:
            sums[item.fate] += item.parts
    return Paid(paid=sums[Fate.PAID], in_flight=sums[Fate.OPEN])


def are_whole(mark: FeeMark, past: Sequence[Past], *, newest: int) -> bool:
    """Tell whether all payments after the mark up to the newest on record are there."""
    numbers = [item.number for item in past if item.number > mark.until_number]
    return numbers == list(range(mark.until_number + 1, newest + 1))


def advanced(mark: FeeMark, rewards: Rewards, past: Sequence[Past], *, until_block: int) -> FeeMark:
    """Return the mark further on: up to a block, and to the last payment that is final."""
    last = max(until_block, mark.until_block)
    fresh = {block: fees for block, fees in rewards.by_block(mark).items() if block <= last}
    blocks = mark.blocks << (last - mark.until_block)
    for block in fresh:
        blocks |= 1 << (last - block)
    number, sums = mark.until_number, mark.paid
    for item in past:
        if item.number != number + 1 or not item.is_final or item.fate is Fate.OPEN:
            continue
        number = item.number
        sums += item.parts if item.fate is Fate.PAID else NOTHING
    return FeeMark(
        until_block=last,
        blocks=blocks & ((1 << WINDOW) - 1),
        accrued=sum(fresh.values(), start=mark.accrued),
        until_number=number,
        paid=sums,
    )


def payable(due: Fees, *, free: int, to_pooler: int, to_operator: int) -> Fees:
    """Return the fees that can be paid now, of what is due.

    No more than the accounts of pooler and operator can take, and no more than is free to leave:
    then each part is as much less.
    """
    pooler, miners = due.pooler, due.miners
    if due.of_pooler > to_pooler:
        pooler, miners = by_largest_remainder(max(0, to_pooler), (pooler, miners))
    fees = Fees(pooler=pooler, operator=max(0, min(due.operator, to_operator)), miners=miners)
    if fees.all <= free:
        return fees
    parts = by_largest_remainder(max(0, free), (fees.pooler, fees.operator, fees.miners))
    pooler, operator, miners = parts
    return Fees(pooler=pooler, operator=operator, miners=miners)
