"""A batch: a plan that is durable before anything is done."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from libs.common.errors import FailedPreconditionError, NotFoundError
from libs.common.ids import BatchId, FarmerId, PoolerId

#: Blocks that are looked back: two days, where the chain keeps a pail for one.
HORIZON = 600

ItemT = TypeVar("ItemT")


class RequestIdReusedError(FailedPreconditionError):
    """The request id stands for a request with other arguments."""

    default_reason = "REQUEST_ID_REUSED"


class PoolerNotFoundError(NotFoundError):
    """No such pooler."""

    default_reason = "POOLER_NOT_FOUND"


class FarmerNotFoundError(NotFoundError):
    """No such farmer."""

    default_reason = "FARMER_NOT_FOUND"


class WrongBlockError(FailedPreconditionError):
    """The block is not the one that this can be done in now."""

    default_reason = "WRONG_BLOCK"


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """A call that makes a batch, checked; each service's has more."""

    #: Whose farmers.
    pooler_id: PoolerId
    #: In which block.
    block_index: int
    #: The caller's name for it, or the default one.
    request_id: str
    #: SHA-256 of the arguments.
    digest: bytes


class PlannedItem(Protocol):
    """What every item of a plan has; each service's has more."""

    @property
    def farmer_id(self) -> FarmerId:
        """Who."""
        ...

    @property
    def address(self) -> str:
        """Its custodial wallet, strkey G..."""
        ...


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One accepted request."""

    #: UUIDv7.
    batch_id: BatchId
    #: What the caller named it, unique per pooler.
    request_id: str
    #: Whose it is.
    pooler_id: PoolerId
    #: KALE block.
    block_index: int
    #: SHA-256 of the request's arguments.
    digest: bytes
    #: When it was accepted.
    created_at: datetime
    #: When the last of its items was recorded; None while it runs.
    completed_at: datetime | None

    def joined_by(self, digest: bytes) -> BatchId:
        """Its id for a request with these arguments; RequestIdReusedError for one with others."""
        if self.digest != digest:
            raise RequestIdReusedError(f"request_id {self.request_id!r} was used otherwise")
        return self.batch_id

    @property
    def processing_time_ms(self) -> int:
        """Milliseconds from acceptance to completion; 0 while it runs."""
        if self.completed_at is None:
            return 0
        return int((self.completed_at - self.created_at).total_seconds() * 1000)


@dataclass(frozen=True, kw_only=True)
class Chunk(Generic[ItemT]):
    """Items of a batch that go to wallet in one call."""

    #: Names the wallet's batch.
    request_id: str
    #: KALE block.
    block_index: int
    #: Its number in the batch.
    number: int
    #: What to do.
    items: tuple[ItemT, ...]


@dataclass(frozen=True, kw_only=True)
class Event:
    """What became of one farmer; each service's has more."""

    #: UUIDv7.
    event_id: UUID
    #: Who.
    farmer_id: FarmerId
    #: KALE block.
    block_index: int
    #: strkey G...
    custodial_wallet: str
    #: success or failed.
    status: str
    #: Failure reason, or empty.
    reason: str
    #: In words.
    error_message: str
    #: Hex, or empty.
    transaction_hash: str
    #: Ledger that took it; 0 when none did.
    ledger: int
    #: Stroops of XLM.
    fee_charged: int
    #: When it was settled.
    settled_at: datetime


@dataclass(frozen=True, kw_only=True)
class ChainHead:
    """Where the chain is, as wallet has written it to chain.head."""

    #: Index of the running block; None before any was opened.
    current_block: int | None
    #: Block that a plant would go to.
    plantable_block: int
    #: Latest ledger.
    ledger: int

    def metadata(self) -> dict[str, str]:
        """For errors about blocks."""
        current = "" if self.current_block is None else str(self.current_block)
        return {"current_block": current, "plantable_block": str(self.plantable_block)}


class BatchStore(Protocol[ItemT]):
    """What a runner needs of a service's tables."""

    async def batch(self, batch_id: BatchId) -> Batch:
        """The batch as it is now."""
        ...

    async def open_batches(self) -> list[BatchId]:
        """Batches that are not completed, oldest first."""
        ...

    async def chunks(self, batch_id: BatchId) -> list[Chunk[ItemT]]:
        """What is to be sent to wallet: the same at every call."""
        ...

    async def refuse(self, batch_id: BatchId, number: int, reason: str, message: str) -> None:
        """Marks the items of a chunk that wallet refused as a whole."""
        ...

    async def record(self, batch_id: BatchId) -> bool:
        """Writes an event for all that is settled; True once the batch is complete."""
        ...


def chunk_numbers(items: int, chunk_size: int) -> list[int]:
    """Which call of wallet each item of a plan goes with, in order."""
    return [position // chunk_size for position in range(items)]


def digest_of(*arguments: object) -> bytes:
    """SHA-256 of a request's arguments, to tell a repeat from another request."""
    return hashlib.sha256(repr(arguments).encode()).digest()


def default_request_id(kind: str, *arguments: object) -> str:
    """A request id made of the arguments, so that the same call is the same request."""
    return f"{kind}:{digest_of(*arguments).hex()[:32]}"
