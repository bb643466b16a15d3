"""Data that plant keeps, as plain data classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.batches.model import BatchRequest, Event
from libs.common.ids import FarmerId, PoolerId


@dataclass(frozen=True, kw_only=True)
class PlantRequest(BatchRequest):
    """A call of Plant, checked."""

    #: Farmers at most.
    capacity: int
    #: Stroops of KALE at most, by farmer; who is not here stakes what was agreed.
    stakes: Mapping[FarmerId, int] = field(default_factory=dict)
    #: Farmers that are not planted.
    sitting_out: frozenset[FarmerId] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A farmer who may plant."""

    #: The farmer.
    farmer_id: FarmerId
    #: strkey G...
    address: str
    #: Stroops of KALE on the chain.
    balance: int
    #: Ten-thousandths of it to stake.
    stake_bps: int


@dataclass(frozen=True, kw_only=True)
class PlannedPlant:
    """A farmer with its planned stake."""

    #: The farmer.
    farmer_id: FarmerId
    #: strkey G...
    address: str
    #: Stroops of KALE.
    stake: int


@dataclass(frozen=True, kw_only=True)
class Planting(Event):
    """A recorded planting."""

    #: Stroops of KALE.
    stake_amount: int


@dataclass(frozen=True, kw_only=True)
class PlantSummary:
    """Result of a request."""

    #: KALE block.
    block_index: int
    #: The pooler of the farmers.
    pooler_id: PoolerId
    #: One per farmer.
    plantings: tuple[Planting, ...]
    #: Milliseconds from acceptance to the last settled plant.
    processing_time_ms: int

    @property
    def successful(self) -> int:
        """Return the number of farmers who are planted."""
        return sum(planting.status == "success" for planting in self.plantings)

    @property
    def total_staked(self) -> int:
        """Return the stroops of KALE that the planted farmers staked."""
        return sum(one.stake_amount for one in self.plantings if one.status == "success")
