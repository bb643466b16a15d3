"""The tables that plant, work and harvest have in common: batches, and where the chain is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Generic, TypeVar
from uuid import UUID

from libs.batches.listing import EventFilter, Page
from libs.batches.model import (
    TAMPERED,
    Batch,
    BatchRequest,
    ChainHead,
    Chunk,
    Event,
    FarmerNotFoundError,
    Judge,
    PlannedItem,
    PoolerNotFoundError,
    chunk_numbers,
)
from libs.common.db.pool import Database, Record, Session
from libs.common.errors import UnavailableError
from libs.common.ids import BatchId, PoolerId, new_id

#: To be loaded with the service's own queries, which hold the parts.
QUERIES = Path(__file__).parent / "queries.sql"

_NOT_BY_WALLET = "its order, or what is said of its end, was not written by wallet"

ItemT = TypeVar("ItemT")
EventT = TypeVar("EventT", bound=Event)


class BatchTables(ABC, Generic[ItemT, EventT]):
    """Base of a service's store; satisfies libs.batches.model.BatchStore.

    ItemT is what wallet is told of an item, EventT is the item's result.
    """

    def __init__(self, database: Database, judge: Judge) -> None:
        """Take the judge of how operations ended."""
        self.database = database
        self._judge = judge

    @abstractmethod
    def item_of(self, row: Record) -> ItemT:
        """Make an item of a row with the columns of the part `item`."""

    @abstractmethod
    def event_of(self, row: Record) -> EventT:
        """Make an event of a row with Event's columns and those of the part `event`."""

    async def head(self) -> ChainHead:
        """Return where the chain is; raise UnavailableError before wallet has seen the chain."""
        row = await self.database.one("head")
        if row is None:
            raise UnavailableError("the chain has not been seen yet", reason="CHAIN_UNKNOWN")
        return ChainHead(**row)

    async def batch(self, batch_id: BatchId) -> Batch:
        """Return a batch that exists."""
        row = await self.database.one("batch", batch_id)
        if row is None:
            raise LookupError(f"no batch {batch_id}")
        return Batch(**row)

    async def batch_by_request(
        self, pooler_id: PoolerId, request_id: str, session: Session | None = None
    ) -> Batch | None:
        """Return the batch that a request id stands for."""
        source = session or self.database
        row = await source.one("batch_by_request", pooler_id, request_id)
        return None if row is None else Batch(**row)

    async def open_batches(self) -> list[BatchId]:
        """Return the batches that are not completed, oldest first."""
        return [row["id"] for row in await self.database.many("open_batches")]

    async def check_known(self, pooler_id: PoolerId, farmer_id: UUID | None = None) -> None:
        """Raise PoolerNotFoundError or FarmerNotFoundError for an id that does not exist."""
        known = await self.database.one("known", pooler_id, farmer_id)
        if known is None or not known["pooler"]:
            raise PoolerNotFoundError(f"no pooler {pooler_id}")
        if not known["farmer"]:
            raise FarmerNotFoundError(f"no farmer {farmer_id}")

    async def accounts_of_farmers(self, ids: Sequence[str]) -> set[str]:
        """Return the owner accounts that speak for these farmers.

        The result has "" when one of the farmers has none.
        """
        rows = await self.database.many("accounts_of_farmers", list(map(UUID, ids)))
        return {row["owner_account"] for row in rows}

    async def ensure_partition(self, block_index: int) -> None:
        """Make the events' partition of a block, before the transaction that plans the block.

        It is a transaction of its own: the next process that wants the partition waits for its end.
        """
        await self.database.execute("ensure_partition", block_index)

    async def lock_pooler(self, session: Session, pooler_id: PoolerId) -> None:
        """Wait until no other transaction plans a batch of the pooler, whatever its block."""
        await session.execute("lock_pooler", pooler_id)

    async def insert_batch(
        self,
        session: Session,
        request: BatchRequest,
        items: Sequence[PlannedItem],
        chunk_size: int,
        *columns: Sequence[object],
    ) -> BatchId:
        """Make a plan durable.

        `columns` are the further columns that the service has for its items.
        """
        batch_id = BatchId(new_id())
        await session.execute(
            "insert_batch",
            batch_id,
            request.request_id,
            request.pooler_id,
            request.block_index,
            request.digest,
        )
        await session.execute(
            "insert_items",
            batch_id,
            [item.farmer_id for item in items],
            [new_id() for _ in items],
            chunk_numbers(len(items), chunk_size),
            [item.address for item in items],
            *columns,
        )
        return batch_id

    async def chunks(self, batch_id: BatchId) -> list[Chunk[ItemT]]:
        """Return the items that are still to be settled, as calls of wallet."""
        batch = await self.batch(batch_id)
        rows = await self.database.many("items", batch_id)
        return [
            Chunk(
                request_id=request_id,
                block_index=batch.block_index,
                number=number,
                items=tuple(map(self.item_of, items)),
            )
            for (number, request_id), items in groupby(
                rows, key=lambda row: (row["chunk"], row["request_id"])
            )
        ]

    async def refuse(self, batch_id: BatchId, number: int, reason: str, message: str) -> None:
        """Mark the items of a chunk that wallet refused as a whole."""
        await self.database.execute("refuse_chunk", batch_id, number, reason, message)

    async def record(self, batch_id: BatchId) -> bool:
        """Write events for every settled item; return True once the batch is complete.

        An item fails as TAMPERED when wallet did not write its operation's order, or end.
        """
        rows = await self.database.many("ended_items", batch_id)
        ends = await self._ends(rows)
        told = [row for row in rows if _is_told(row, ends)]
        farmers = [row["farmer_id"] for row in told]
        tampered = {
            row["farmer_id"] for row in rows if ends.get(row["operation_id"]) == TAMPERED
        }.difference(farmers)
        async with self.database.transaction() as session:
            if tampered:
                await session.execute(
                    "refuse_items", batch_id, sorted(tampered), TAMPERED, _NOT_BY_WALLET
                )
            await session.execute("record", batch_id, *_names_and_states(told), farmers)
            await session.one("complete", batch_id)
        return (await self.batch(batch_id)).completed_at is not None

    async def _ends(self, rows: Sequence[Record]) -> Mapping[UUID, str]:
        """Return how operations ended by wallet's word, whatever their rows say."""
        if not rows:
            return {}
        return await self._judge.ends({row["operation_id"]: row["state"] for row in rows})

    async def record_found(self, first_block: int) -> int:
        """Write events for what reconciliation recorded from block `first_block` on.

        Return the number of events. Each block has one statement: when several processes run it at
        once, each event is written once. What wallet did not write becomes none.
        """
        recorded = 0
        for row in await self.database.many("found_blocks", first_block):
            recorded += await self._record_found(row["block_index"])
        return recorded

    async def _record_found(self, block: int) -> int:
        rows = await self.database.many("found_operations", block)
        ends = await self._ends(rows)
        told = [row for row in rows if _is_told(row, ends)]
        if not told:
            return 0
        await self.ensure_partition(block)
        row = await self.database.one("record_found", block, *_names_and_states(told))
        return 0 if row is None else int(row["recorded"])

    async def events_of_batch(self, batch_id: BatchId) -> tuple[EventT, ...]:
        """Return one event per item of a completed batch."""
        rows = await self.database.many("events_of_batch", batch_id)
        return tuple(map(self.event_of, rows))

    async def page(self, chosen: EventFilter) -> Page[EventT]:
        """Return recorded events, newest block first.

        Raise PoolerNotFoundError or FarmerNotFoundError.
        """
        await self.check_known(chosen.pooler_id, chosen.farmer_id)
        rows = await self.database.many("list_events", *chosen.arguments())
        return chosen.page_of([self.event_of(row) for row in rows])


def _is_told(row: Record, ends: Mapping[UUID, str]) -> bool:
    """Tell whether an operation ended as its row says, by wallet's word."""
    return bool(ends.get(row["operation_id"]) == row["state"])


def _names_and_states(rows: Sequence[Record]) -> tuple[list[UUID], list[str]]:
    return [row["operation_id"] for row in rows], [row["state"] for row in rows]
