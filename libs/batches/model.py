"""A batch: a plan that is durable before any of it is carried out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from libs.common.errors import FailedPreconditionError, NotFoundError
from libs.common.ids import BatchId, FarmerId, PoolerId

#: Blocks that a look goes back: two days, while the chain keeps a pail for one day.
HORIZON = 600

ItemT = TypeVar("ItemT")


class RequestIdReusedError(FailedPreconditionError):
    """The request id stands for a request with other arguments."""

    default_reason = "REQUEST_ID_REUSED"


class PoolerNotFoundError(NotFoundError):
    """No pooler has this id."""

    default_reason = "POOLER_NOT_FOUND"


class FarmerNotFoundError(NotFoundError):
    """No farmer has this id."""

    default_reason = "FARMER_NOT_FOUND"


class WrongBlockError(FailedPreconditionError):
    """The block is not the one in which the requested operation is possible now."""

    default_reason = "WRONG_BLOCK"


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """A checked call that makes a batch; each service's request has more fields."""

    #: The pooler whose farmers the batch is for.
    pooler_id: PoolerId
    #: KALE block.
    block_index: int
    #: The caller's name for it, or the default one.
    request_id: str
    #: SHA-256 of the arguments.
    digest: bytes


class PlannedItem(Protocol):
    """The fields that every item of a plan has; each service's item has more."""

    @property
    def farmer_id(self) -> FarmerId:
        """Return the farmer's id."""
        ...

    @property
    def address(self) -> str:
        """Return the address of the farmer's custodial wallet, strkey G..."""
        ...


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One accepted request."""

    #: UUIDv7.
    batch_id: BatchId
    #: The caller's name for the request, unique per pooler.
    request_id: str
    #: The pooler whose batch it is.
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
        """Return the batch's id for a request with these arguments.

        Raise RequestIdReusedError for a request with other arguments.
        """
        if self.digest != digest:
            raise RequestIdReusedError(f"request_id {self.request_id!r} was used otherwise")
        return self.batch_id

    @property
    def processing_time_ms(self) -> int:
        """Return the milliseconds from acceptance to completion; 0 while the batch runs."""
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
    #: The items.
    items: tuple[ItemT, ...]


@dataclass(frozen=True, kw_only=True)
class Event:
    """The result for one farmer; each service's event has more fields."""

    #: UUIDv7.
    event_id: UUID
    #: The farmer.
    farmer_id: FarmerId
    #: KALE block.
    block_index: int
    #: strkey G...
    custodial_wallet: str
    #: success or failed.
    status: str
    #: Failure reason, or empty.
    reason: str
    #: The failure in words.
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
        """Return the metadata of errors about blocks."""
        current = "" if self.current_block is None else str(self.current_block)
        return {"current_block": current, "plantable_block": str(self.plantable_block)}


#: How an operation ended whose order, or end, wallet did not write: nothing is booked by it.
TAMPERED = "TAMPERED"


class Judge(Protocol):
    """Tells how operations ended: wallet, by its own word."""

    async def ends(self, settled: Mapping[UUID, str]) -> Mapping[UUID, str]:
        """Return how these operations ended: the state, or TAMPERED.

        `settled` are the states that wallet's view has. An operation that has not ended is left
        out. Whoever may write wallet's rows may not therefore say what becomes an event.
        """
        ...


class BatchStore(Protocol[ItemT]):
    """The part of a service's tables that a runner needs."""

    async def batch(self, batch_id: BatchId) -> Batch:
        """Return the batch as it is now."""
        ...

    async def open_batches(self) -> list[BatchId]:
        """Return the batches that are not completed, oldest first."""
        ...

    async def chunks(self, batch_id: BatchId) -> list[Chunk[ItemT]]:
        """Return the chunks to send to wallet: the same at every call."""
        ...

    async def refuse(self, batch_id: BatchId, number: int, reason: str, message: str) -> None:
        """Mark the items of a chunk that wallet refused as a whole."""
        ...

    async def record(self, batch_id: BatchId) -> bool:
        """Write an event for every settled item; return True once the batch is complete."""
        ...


def chunk_numbers(items: int, chunk_size: int) -> list[int]:
    """Return for each item of a plan, in order, the number of its wallet call."""
    return [position // chunk_size for position in range(items)]


def digest_of(*arguments: object) -> bytes:
    """Return the SHA-256 of a request's arguments, to tell a repeat from another request."""
    return hashlib.sha256(repr(arguments).encode()).digest()


def default_request_id(kind: str, *arguments: object) -> str:
    """Return a request id made of the arguments, so that the same call is the same request."""
    return f"{kind}:{digest_of(*arguments).hex()[:32]}"
