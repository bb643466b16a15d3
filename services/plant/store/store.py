"""Typed access to plant's tables."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from uuid import UUID

from libs.batches.model import Batch, ChainHead, Chunk
from libs.common.db.pool import Database, Session
from libs.common.ids import BatchId, FarmerId, PoolerId, new_id
from services.plant.domain.model import Candidate, PlannedPlant, Planting, PlantRequest

QUERIES = Path(__file__).parent / "queries.sql"


class Store:
    """All of it; satisfies libs.batches.model.BatchStore."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def head(self) -> ChainHead | None:
        """Where the chain is; None before wallet has seen it."""
        row = await self.database.one("head")
        return None if row is None else ChainHead(**row)

    async def pooler_is_active(self, pooler_id: PoolerId) -> bool | None:
        """None for an unknown pooler."""
        row = await self.database.one("pooler_is_active", pooler_id)
        return None if row is None else bool(row["is_active"])

    async def batch(self, batch_id: BatchId) -> Batch:
        """A batch that exists."""
        row = await self.database.one("batch", batch_id)
        if row is None:
            raise LookupError(f"no batch {batch_id}")
        return Batch(**row)

    async def batch_by_request(
        self, pooler_id: PoolerId, request_id: str, session: Session | None = None
    ) -> Batch | None:
        """The batch that a request id stands for."""
        source = session or self.database
        row = await source.one("batch_by_request", pooler_id, request_id)
        return None if row is None else Batch(**row)

    async def open_batches(self) -> list[BatchId]:
        """Batches that are not completed, oldest first."""
        return [row["id"] for row in await self.database.many("open_batches")]

    async def lock_block(self, session: Session, pooler_id: PoolerId, block_index: int) -> None:
        """Waits until no other transaction plans the same pooler's block."""
        await session.execute("lock_block", str(pooler_id), block_index)

    async def candidates(
        self, session: Session, pooler_id: PoolerId, block_index: int, limit: int
    ) -> list[Candidate]:
        """Farmers who can plant in the block and have not, in the order of registration."""
        rows = await session.many("candidates", pooler_id, block_index, limit)
        return [Candidate(**row) for row in rows]

    async def insert_batch(
        self, session: Session, request: PlantRequest, plan: Sequence[PlannedPlant]
    ) -> BatchId:
        """Makes a plan durable."""
        batch_id = BatchId(new_id())
        await session.execute("ensure_partition", request.block_index)
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
            [item.farmer_id for item in plan],
            [new_id() for _ in plan],
            [item.chunk for item in plan],
            [item.address for item in plan],
            [item.stake for item in plan],
        )
        return batch_id

    async def chunks(self, batch_id: BatchId) -> list[Chunk[tuple[FarmerId, int]]]:
        """What is still to be settled, as calls of wallet."""
        batch = await self.batch(batch_id)
        rows = await self.database.many("items", batch_id)
        return [
            Chunk(
                request_id=f"plant-{batch_id}-{number}",
                block_index=batch.block_index,
                number=number,
                items=tuple((row["farmer_id"], row["stake"]) for row in items),
            )
            for number, items in groupby(rows, key=lambda row: row["chunk"])
        ]

    async def refuse(self, batch_id: BatchId, number: int, reason: str, message: str) -> None:
        """Marks the items of a chunk that wallet refused as a whole."""
        await self.database.execute("refuse_chunk", batch_id, number, reason, message)

    async def record(self, batch_id: BatchId) -> bool:
        """Writes events for all that is settled; True once the batch is complete."""
        async with self.database.transaction() as session:
            await session.execute("record", batch_id)
            await session.one("complete", batch_id)
        return (await self.batch(batch_id)).completed_at is not None

    async def events_of_batch(self, batch_id: BatchId) -> tuple[Planting, ...]:
        """One per item of a completed batch."""
        rows = await self.database.many("events_of_batch", batch_id)
        return tuple(Planting(**row) for row in rows)

    async def list_plantings(
        self,
        *,
        pooler_id: PoolerId,
        block_index: int | None,
        farmer_id: UUID | None,
        before: tuple[int, UUID] | None,
        limit: int,
    ) -> list[Planting]:
        """Recorded plantings, newest block first."""
        block, planting = before if before is not None else (None, None)
        rows = await self.database.many(
            "list_plantings", pooler_id, block_index, farmer_id, block, planting, limit
        )
        return [Planting(**row) for row in rows]
