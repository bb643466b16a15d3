"""The services' answers as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from libs.common.ids import FarmerId, PoolerId

#: Reasons for which the same call may succeed a little later.
TRANSIENT_REASONS = frozenset(
    {"EXPIRED", "INTERNAL", "FEE_CAP", "GAP_TOO_LOW", "VALIDATION_TIMEOUT"}
)


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where the chain is."""

    #: Latest ledger.
    ledger: int
    #: Its close time, unix seconds: the clock that blocks go by.
    close_time: float
    #: Index of the current block.
    current_block: int
    #: Block that a plant would go to.
    plantable_block: int
    #: The farm's admin has paused planting.
    paused: bool


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block as seen on the chain."""

    #: Its index.
    index: int
    #: When it was opened, unix seconds of the chain's clock.
    opened_at: float
    #: From then on a plant opens the next one.
    closes_at: float
    #: Goes into every hash; 32 bytes.
    entropy: bytes
    #: Zeros above this earn nothing more in this block.
    max_zeros: int
    #: Zeros below this count as this many.
    min_zeros: int = 0
    #: Stroops of KALE staked in it and not yet worked.
    staked_total: int = 0
    #: Gaps that count, in ledgers: less and more count as these.
    min_gap: int = 0
    max_gap: int = 0
    #: Stakes that count, in stroops of KALE: less and more count as these.
    min_stake: int = 0
    max_stake: int = 0
    #: Sum of the weights of all works in it.
    normalized_total: int = 0
    #: Ledger that opened it, and the last one in which it can be harvested; 0 when not known.
    opened_ledger: int = 0
    expires_ledger: int = 0

    def moment(self, share: float) -> float:
        """Return the unix seconds (the chain's) at which this share of the block is over."""
        return self.opened_at + share * (self.closes_at - self.opened_at)


@dataclass(frozen=True, kw_only=True)
class ChainView:
    """One look at the chain."""

    #: The block asked for or changed; None when no block was ever opened.
    block: Block | None
    #: Where the chain is.
    head: Head


@dataclass(frozen=True, kw_only=True)
class BlockCounts:
    """What the pool's farmers have done in a block."""

    #: Farmers that are planted.
    planted: int
    #: Farmers that have worked, by the zeros of their best work.
    zeros: Mapping[int, int]

    @property
    def worked(self) -> int:
        """Return how many farmers have worked."""
        return sum(self.zeros.values())


@dataclass(frozen=True, kw_only=True)
class PoolerRecord:
    """The pooler as registry knows it."""

    #: Its id.
    pooler_id: PoolerId
    #: Its name.
    name: str
    #: Its own Stellar account.
    public_key: str


@dataclass(frozen=True, kw_only=True)
class FarmerRecord:
    """A farmer as registry knows it."""

    #: Its id.
    farmer_id: FarmerId
    #: Address (G...); empty while its wallet is being made.
    address: str
    #: Whether it can be planted as far as registry is concerned.
    is_active: bool
    #: Its account exists on the chain and can hold KALE.
    is_funded: bool
    #: Ten-thousandths of its KALE that it stakes by its agreement.
    stake_bps: int = 0


@dataclass(frozen=True, kw_only=True)
class FarmerOutcome:
    """One farmer's part of a batch."""

    #: The farmer whose part it is.
    farmer_id: FarmerId
    #: Its address; empty where the answer does not give it.
    address: str
    #: Whether it succeeded.
    succeeded: bool
    #: Why it failed, as in FailureReason without its prefix; UNSPECIFIED when it succeeded.
    reason: str
    #: Stroops: the stake planted, the reward estimated or harvested.
    amount: int
    #: Leading zeros of the hash; 0 where there is none.
    zeros: int = 0
    #: Ledgers between plant and work; 0 where there is no work.
    gap: int = 0
    #: Ledger that took it; 0 where none did, or the answer does not give it.
    ledger: int = 0
    #: Stroops of XLM that it cost.
    fee: int = 0

    @property
    def worth_another_try(self) -> bool:
        """Tell whether it failed for a reason that may be gone a little later."""
        return not self.succeeded and self.reason in TRANSIENT_REASONS


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A nonce that was found for a farmer."""

    #: The farmer whose nonce it is.
    farmer_id: FarmerId
    #: The nonce, below 2 to the power of 64.
    nonce: int
    #: When it was found; None when that is not known.
    found_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class BatchSummary:
    """The result of a Plant, SubmitWork or Harvest call."""

    #: Index of the block.
    block_index: int
    #: Farmers (of a work: nonces) in the call.
    requested: int
    #: How many of them succeeded.
    succeeded: int
    #: Stroops: staked, estimated or harvested.
    amount: int
    #: Milliseconds that the service took.
    milliseconds: int
    #: One per farmer (of a work: per nonce).
    outcomes: tuple[FarmerOutcome, ...]

    @property
    def failed(self) -> int:
        """Return how many did not succeed."""
        return self.requested - self.succeeded


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """The result of a HarvestPending call."""

    #: One per block.
    blocks: tuple[BatchSummary, ...]
    #: Stroops over all of them.
    total_rewards: int
    #: Harvests that are open still.
    still_pending: int


@dataclass(frozen=True, kw_only=True)
class MinersTold:
    """What the miners of a pooler did in a block, or a chunk of it."""

    #: The pooler.
    pooler_id: PoolerId
    #: The block; it is closed.
    block_index: int
    #: Hashes that each miner proved, by the address that is to be paid: 10,000 at most.
    points: Mapping[str, int]
    #: Hashes of the pooler's own that take part: the same in all chunks.
    own_points: int = 0
    #: Which chunk it is, from 1 on, and how many there are.
    chunk: int = 1
    chunks: int = 1


@dataclass(frozen=True, kw_only=True)
class MinersPot:
    """The miners' part of a block."""

    #: Whether all chunks are there.
    is_complete: bool
    #: Stroops that are the miners', by what is harvested so far, and those that are divided.
    pot: int
    divided: int
