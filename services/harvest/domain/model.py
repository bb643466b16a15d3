"""Data that harvest keeps, as plain data classes."""

from dataclasses import dataclass
from datetime import datetime

from libs.batches.model import Event
from libs.common.ids import FarmerId, PoolerId


@dataclass(frozen=True, kw_only=True)
class PendingBlock:
    """A block that has something to harvest."""

    #: The pooler of the farmers.
    pooler_id: PoolerId
    #: The block.
    block_index: int
    #: Number of farmers with something to harvest.
    farmers: int


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A farmer with something to harvest."""

    #: The farmer.
    farmer_id: FarmerId
    #: strkey G...
    address: str


@dataclass(frozen=True, kw_only=True)
class Harvest(Event):
    """A recorded harvest."""

    #: Stroops of KALE paid, without the stake.
    reward_amount: int
    #: Stroops of KALE that came back as stake.
    stake_returned: int


@dataclass(frozen=True, kw_only=True)
class HarvestSummary:
    """Result of a request."""

    #: KALE block.
    block_index: int
    #: The pooler of the farmers.
    pooler_id: PoolerId
    #: One per farmer.
    harvests: tuple[Harvest, ...]
    #: Milliseconds from acceptance to the last settled harvest.
    processing_time_ms: int

    @property
    def successful(self) -> int:
        """Return the number of farmers who were paid."""
        return sum(harvest.status == "success" for harvest in self.harvests)

    @property
    def total_rewards(self) -> int:
        """Return the stroops of KALE that the farmers were paid, without their stakes."""
        return sum(harvest.reward_amount for harvest in self.harvests)


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Earnings of a farmer with the pool."""

    #: The farmer.
    farmer_id: FarmerId
    #: Stroops of KALE earned; what was withdrawn is not taken off.
    current_balance: int
    #: Stroops of KALE earned ever.
    total_rewards: int
    #: Blocks harvested.
    harvests: int
    #: When it changed last; None: never.
    updated_at: datetime | None
