"""Reports: what blocks, poolers and farmers came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.ids import FarmerId, PoolerId

#: Blocks over which success is counted: about a day.
LATELY = 288
#: Days and hours in a summary.
DAYS, HOURS = 30, 48


@dataclass(frozen=True, kw_only=True)
class Began:
    """The database's time, and when something was registered."""

    #: The database's time.
    now: datetime
    #: When the pooler or farmer was registered; None: nobody was.
    registered_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Earnings:
    """What was earned in one span of time."""

    #: When the hour, day or month began.
    starts_at: datetime
    #: Stroops of KALE, without the stakes.
    rewards: int
    #: Harvests that were paid.
    harvests: int
    #: Stroops of KALE that came back as stakes.
    stake_returned: int


@dataclass(frozen=True, kw_only=True)
class People:
    """The people who farm with the pool or with one pooler."""

    #: Poolers that are active.
    active_poolers: int
    #: Farmers that are active.
    active_farmers: int
    #: Farmers that were ever registered.
    farmers: int


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Blocks in a row."""

    #: The first.
    first: int
    #: The last; it is before the first when there are none.
    last: int

    @property
    def count(self) -> int:
        """Return how many there are."""
        return self.last - self.first + 1


@dataclass(frozen=True, kw_only=True)
class Success:
    """How often farming succeeded, each farmer counted once for each block."""

    #: Plants that succeeded.
    planted: int
    #: Plants that did not.
    not_planted: int
    #: Works that succeeded.
    worked: int
    #: Works that did not.
    not_worked: int
    #: Harvests that were paid.
    harvested: int
    #: Harvests that were not paid so far.
    not_harvested: int


@dataclass(frozen=True, kw_only=True)
class FarmerSuccess(Success):
    """The same of one farmer."""

    #: Most zeros of its works; None: it did not work.
    best_zeros: int | None


@dataclass(frozen=True, kw_only=True)
class BlockReport:
    """What one block came to, for the pool or for one pooler."""

    #: KALE block.
    block_index: int
    #: When it opened; None: wallet never saw it.
    opened_at: datetime | None
    #: Farmers who planted.
    planted: int
    #: Farmers whose plants all failed.
    not_planted: int
    #: Stroops of KALE planted.
    staked: int
    #: Stroops of the smallest stake; None: nobody planted.
    min_stake: int | None
    #: Stroops of the largest stake.
    max_stake: int | None
    #: Farmers who worked.
    worked: int
    #: Farmers whose works all failed.
    not_worked: int
    #: Zeros of all farmers' best works.
    total_zeros: int
    #: Fewest zeros of a farmer's best work; None: nobody worked.
    min_zeros: int | None
    #: Most zeros.
    max_zeros: int | None
    #: Gaps of all farmers' best works, in ledgers.
    total_gap: int
    #: Smallest gap.
    min_gap: int | None
    #: Largest gap.
    max_gap: int | None
    #: Farmers who were paid.
    harvested: int
    #: Farmers whose harvests all failed so far.
    not_harvested: int
    #: Stroops of KALE paid, without the stakes.
    rewards: int
    #: Stroops of the smallest reward; 0: nobody was paid.
    min_reward: int
    #: Stroops of the largest reward.
    max_reward: int
    #: Stroops of KALE that came back as stakes.
    stake_returned: int
    #: Stroops of XLM that all of it cost.
    fees: int
    #: Stroops of the smallest stake of the whole chain; None: wallet never saw the block.
    chain_min_stake: int | None
    #: Stroops of the largest stake.
    chain_max_stake: int | None
    #: Fewest zeros of the whole chain.
    chain_min_zeros: int | None
    #: Most zeros.
    chain_max_zeros: int | None
    #: Smallest gap of the whole chain.
    chain_min_gap: int | None
    #: Largest gap.
    chain_max_gap: int | None


@dataclass(frozen=True, kw_only=True)
class Earned:
    """Earnings of late, and ever."""

    #: Stroops of KALE earned ever.
    rewards: int
    #: Harvests that were ever paid.
    harvests: int
    #: The newest days, today first.
    days: Sequence[Earnings]
    #: The newest hours, the running one first.
    hours: Sequence[Earnings]

    def within(self, days: int) -> int:
        """Return the stroops of KALE earned within so many days, today counted."""
        return sum(day.rewards for day in self.days[:days])


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the pool or one pooler is, and what it earned."""

    #: Who farms.
    people: People
    #: What was earned.
    earned: Earned
    #: The blocks over which success is counted.
    blocks: Blocks
    #: How often farming succeeded in them.
    success: Success


@dataclass(frozen=True, kw_only=True)
class ReportedFarmer:
    """What is known of a farmer without a look at its events."""

    #: The database's time.
    now: datetime
    #: The farmer.
    farmer_id: FarmerId
    #: Its pooler.
    pooler_id: PoolerId
    #: strkey G... of its wallet; empty until that is made.
    address: str
    #: When it was registered.
    registered_at: datetime
    #: Stroops of KALE earned ever.
    rewards: int
    #: Blocks harvested ever.
    harvests: int


@dataclass(frozen=True, kw_only=True)
class FarmerSummary:
    """What one farmer is, and what it earned."""

    #: The farmer.
    farmer: ReportedFarmer
    #: What it earned.
    earned: Earned
    #: The blocks over which success is counted.
    blocks: Blocks
    #: How often it succeeded in them.
    success: FarmerSuccess


def blocks_of_late(current_block: int | None) -> Blocks:
    """Return the newest blocks that are over."""
    current = current_block or 0
    return Blocks(first=max(0, current - LATELY), last=current - 1)
