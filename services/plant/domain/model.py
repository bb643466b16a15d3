"""What plant keeps, as plain data."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.ids import FarmerId, PoolerId


@dataclass(frozen=True, kw_only=True)
class PlantRequest:
    """A call of Plant, checked."""

    #: Whose farmers.
    pooler_id: PoolerId
    #: In which block.
    block_index: int
    #: Farmers at most.
    capacity: int
    #: The caller's name for it, or the default one.
    request_id: str
    #: SHA-256 of the arguments.
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A farmer who may plant."""

    #: Who.
    farmer_id: FarmerId
    #: strkey G...
    address: str
    #: Stroops of KALE on the chain.
    balance: int
    #: Ten-thousandths of it to stake.
    stake_bps: int


@dataclass(frozen=True, kw_only=True)
class PlannedPlant:
    """A farmer with its stake, decided."""

    #: Who.
    farmer_id: FarmerId
    #: strkey G...
    address: str
    #: Stroops of KALE.
    stake: int
    #: Which call of wallet it goes with.
    chunk: int


@dataclass(frozen=True, kw_only=True)
class Planting:
    """A recorded planting."""

    #: UUIDv7.
    planting_id: UUID
    #: Who.
    farmer_id: FarmerId
    #: KALE block.
    block_index: int
    #: strkey G...
    custodial_wallet: str
    #: Stroops of KALE.
    stake_amount: int
    #: success or failed.
    status: str
    #: Failure reason, or empty.
    reason: str
    #: In words.
    error_message: str
    #: Hex, or empty.
    transaction_hash: str
    #: Ledger of the plant; 0 when it failed.
    ledger: int
    #: Stroops of XLM.
    fee_charged: int
    #: When it was settled.
    planted_at: datetime


@dataclass(frozen=True, kw_only=True)
class PlantSummary:
    """What became of a request."""

    #: KALE block.
    block_index: int
    #: Whose.
    pooler_id: PoolerId
    #: One per farmer.
    plantings: tuple[Planting, ...]
    #: Milliseconds from acceptance to the last settled plant.
    processing_time_ms: int

    @property
    def successful(self) -> int:
        """Farmers who are planted."""
        return sum(planting.status == "success" for planting in self.plantings)

    @property
    def total_staked(self) -> int:
        """Stroops of KALE that they staked."""
        return sum(one.stake_amount for one in self.plantings if one.status == "success")
