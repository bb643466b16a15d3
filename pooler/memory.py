"""What a pooler remembers of ledgers and of the blocks that it farmed, for its strategies."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from client import Block, FarmerId, FarmerOutcome, Head
from libs.kale.reward import BlockStats
from pooler.strategies.learning import Opening, Records, landing_of, learn, spans_of
from pooler.strategies.model import Learned

#: Ledgers whose close times are kept: more than a block has.
_CLOSES = 400
#: Ledgers between two heads of which single spans can still be told.
_MISSED = 20
#: Seconds between two ledgers at most, where the one before was not seen.
_LONG_SPAN = 10


@dataclass(frozen=True, kw_only=True)
class Done:
    """What one farmer did in a block."""

    #: Ledgers between plant and work.
    gap: int
    #: Stroops of KALE.
    stake: int
    #: Zeros of its best work.
    zeros: int


@dataclass(kw_only=True)
class Farmed:
    """One block that was farmed."""

    #: The block as it opened.
    block: Block
    #: Works that were sent, by the ledger that was the newest then.
    sends: Counter[int] = field(default_factory=Counter)
    #: Ledger of each work that landed; works that did not.
    landed: list[int] = field(default_factory=list)
    missing: int = 0
    #: What each farmer who worked did.
    done: dict[FarmerId, Done] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fees:
    """Stroops of XLM that the last plant, work and harvest of a farmer cost; 0: not known."""

    plant: int = 0
    work: int = 0
    harvest: int = 0

    @property
    def all(self) -> int:
        """Return the stroops of a whole block."""
        return self.plant + self.work + self.harvest


class Memory:
    """The memory of one pooler; it is filled by what happens, and forgets the oldest."""

    def __init__(self) -> None:
        #: Ledgers, works and openings, as strategies learn from them.
        self.records = Records()
        #: Blocks whose end was not seen yet, by index.
        self.open_blocks: dict[int, Farmed] = {}
        #: The last block that was farmed and has works.
        self.last: Farmed | None = None
        #: The newest fees.
        self.fees = Fees()
        self._closes: dict[int, int] = {}
        self._newest: Head | None = None
        #: What was learned last, and from which records: ledgers come often, blocks do not.
        self._learned: Learned | None = None
        self._learned_from: Records | None = None

    def learned(self) -> Learned:
        """Return what all of it teaches about the running block."""
        known, records = self._learned_from, self.records
        if known is None or self._learned is None or not _same_blocks(known, records):
            self._learned = learn(records)
        else:
            self._learned = replace(self._learned, spans=spans_of(records.spans))
        self._learned_from = records
        return self._learned

    def hear(self, head: Head) -> None:
        """Remember a ledger that was seen."""
        before, self._newest = self._newest, head
        self._closes[head.ledger] = int(head.close_time)
        for old in sorted(self._closes)[:-_CLOSES]:
            del self._closes[old]
        if before is not None:
            self.records = self.records.with_spans(_spans(before, head))

    def begin(self, block: Block) -> Farmed:
        """Remember a block that is farmed from now on, and what its opening says of others."""
        for farmed in [one for one in self.open_blocks.values() if one.block.index < block.index]:
            self._end(farmed, block)
        return self.open_blocks.setdefault(block.index, Farmed(block=block))

    def planted(self, outcomes: Iterable[FarmerOutcome]) -> None:
        """Remember what plants cost."""
        fee = _mean_fee(outcomes)
        self.fees = self.fees if fee is None else replace(self.fees, plant=fee)

    def worked(
        self,
        farmed: Farmed,
        planted: Mapping[FarmerId, FarmerOutcome],
        outcomes: Sequence[FarmerOutcome],
    ) -> None:
        """Remember works that landed, and what they cost."""
        fee = _mean_fee(outcomes)
        self.fees = self.fees if fee is None else replace(self.fees, work=fee)
        for one in outcomes:
            plant = planted.get(one.farmer_id)
            if plant is None or not one.succeeded or not one.gap:
                continue
            farmed.landed.append(plant.ledger + one.gap)
            farmed.done[one.farmer_id] = Done(gap=one.gap, stake=plant.amount, zeros=one.zeros)
        if farmed.done:
            self.last = farmed

    def harvested(self, outcomes: Iterable[FarmerOutcome]) -> None:
        """Remember what harvests cost."""
        fee = _mean_fee(outcomes)
        self.fees = self.fees if fee is None else replace(self.fees, harvest=fee)

    def _end(self, farmed: Farmed, following: Block) -> None:
        """Remember how a block's works landed and when the next one was opened."""
        del self.open_blocks[farmed.block.index]
        if following.index != farmed.block.index + 1 or not following.opened_ledger:
            return
        last = following.opened_ledger - 1
        if farmed.sends:
            landing = landing_of(
                farmed.sends,
                ledgers=farmed.landed,
                missing_until=last if farmed.missing else None,
            )
            self.records = self.records.with_landing(landing)
        opened, closes_at = int(following.opened_at), int(farmed.block.closes_at)
        before = self._closes.get(last, opened - _LONG_SPAN)
        opening = Opening(last_closed=before - closes_at, opened=opened - closes_at)
        self.records = self.records.with_opening(opening)


def _same_blocks(one: Records, other: Records) -> bool:
    return one.landings is other.landings and one.openings is other.openings


def stats_of(block: Block) -> BlockStats:
    """Return the figures that a block weighs works by."""
    return BlockStats(
        min_gap=block.min_gap,
        max_gap=block.max_gap,
        min_stake=block.min_stake,
        max_stake=block.max_stake,
        min_zeros=block.min_zeros,
        max_zeros=block.max_zeros,
        staked_total=block.staked_total,
        normalized_total=block.normalized_total,
    )


def _spans(before: Head, head: Head) -> list[int]:
    """Return the seconds of each ledger between two heads; alike where some were not seen."""
    ledgers = head.ledger - before.ledger
    if not 0 < ledgers <= _MISSED:
        return []
    seconds, more = divmod(int(head.close_time) - int(before.close_time), ledgers)
    return [max(0, seconds) + (number < more) for number in range(ledgers)]


def _mean_fee(outcomes: Iterable[FarmerOutcome]) -> int | None:
    """Return what those who succeeded paid on average; None where nobody did."""
    fees = [one.fee for one in outcomes if one.succeeded and one.fee]
    return sum(fees) // len(fees) if fees else None
