"""Data that work keeps, as plain data classes."""

from dataclasses import dataclass
from datetime import datetime

from libs.batches.model import BatchRequest, Event
from libs.common.ids import FarmerId, PoolerId
from libs.kale.reward import BlockStats


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One nonce for one farmer."""

    #: The farmer's id as given: it need not be a farmer's.
    farmer_id: FarmerId
    #: 64 bits without a sign.
    nonce: int
    #: When it was found, milliseconds since 1970; 0 when not told.
    timestamp_ms: int


@dataclass(frozen=True, kw_only=True)
class WorkRequest(BatchRequest):
    """A call of SubmitWork, checked."""

    #: At least one.
    submissions: tuple[Submission, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """The block that is worked in."""

    #: Its index.
    index: int
    #: When it opened.
    opened_at: datetime
    #: Entropy, which goes into every hash.
    entropy: bytes
    #: Statistics for the estimate of rewards.
    stats: BlockStats


@dataclass(frozen=True, kw_only=True)
class FarmerState:
    """Known facts of a farmer in the block."""

    #: The farmer.
    farmer_id: FarmerId
    #: strkey G...
    address: str
    #: Stroops planted; None when it did not plant.
    stake: int | None
    #: Most zeros so far, recorded or on the way; None when there were none.
    best_zeros: int | None
    #: Nonces that were sent before and have not failed.
    nonces: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A nonce with its judgement."""

    #: The submission as given.
    submission: Submission
    #: sent, surpassed or rejected.
    judgement: str
    #: Its hash; empty when it was not computed.
    digest: bytes = b""
    #: Leading zeros of the hash.
    zeros: int = 0
    #: Failure reason of a rejected one.
    reason: str = ""
    #: The reason in words.
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class PlannedWork:
    """The best nonce of a farmer, to be sent."""

    #: The farmer.
    farmer_id: FarmerId
    #: strkey G...
    address: str
    #: The nonce.
    nonce: int
    #: Its hash.
    digest: bytes
    #: Leading zeros of the hash.
    zeros: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Result of a nonce."""

    #: The farmer's id as given.
    farmer_id: FarmerId
    #: The nonce.
    nonce: int
    #: Its hash, or empty.
    hash: bytes
    #: Leading zeros of the hash.
    zeros: int
    #: sent, surpassed or rejected.
    judgement: str
    #: Why it was rejected.
    reason: str
    #: The reason in words.
    message: str
    #: success or failed for a sent one, else empty.
    status: str
    #: Why the chain did not take it.
    work_reason: str
    #: The reason in words.
    work_message: str
    #: Ledgers between plant and work.
    gap: int
    #: Hex, or empty.
    transaction_hash: str
    #: Stroops of XLM.
    fee_charged: int
    #: Stroops planted.
    stake: int

    @property
    def worked(self) -> bool:
        """Tell whether the chain took the nonce."""
        return self.status == "success"

    @property
    def valid(self) -> bool:
        """Tell whether the nonce was accepted as valid, whatever came then."""
        return self.judgement != "rejected"


@dataclass(frozen=True, kw_only=True)
class WorkSummary:
    """Result of a request."""

    #: KALE block.
    block_index: int
    #: The pooler of the farmers.
    pooler_id: PoolerId
    #: One per submission, in order.
    verdicts: tuple[Verdict, ...]
    #: Stroops of KALE for each verdict that worked, estimated; 0 for others.
    estimates: tuple[int, ...]
    #: Milliseconds from acceptance to the last settled work.
    processing_time_ms: int


@dataclass(frozen=True, kw_only=True)
class Work(Event):
    """A recorded work."""

    #: The nonce; 0 without a hash.
    nonce: int
    #: Its hash; empty when it is not known: reconciliation found the work in the farmer's pail.
    hash: bytes
    #: Leading zeros of the hash.
    zeros: int
    #: Ledgers between plant and work.
    gap: int
