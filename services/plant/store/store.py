"""Typed access to plant's tables."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from libs.batches.listing import EventFilter
from libs.batches.model import Chunk
from libs.batches.store import BatchTables
from libs.common.db.pool import Session
from libs.common.ids import BatchId, FarmerId, PoolerId, new_id
from services.plant.domain.model import Candidate, PlannedPlant, Planting, PlantRequest

QUERIES = Path(__file__).parent / "queries.sql"


class Store(BatchTables):
    """All of it; satisfies libs.batches.model.BatchStore."""

    async def pooler_is_active(self, pooler_id: PoolerId) -> bool | None:
        """None for an unknown pooler."""
        row = await self.database.one("pooler_is_active", pooler_id)
        return None if row is None else bool(row["is_active"])

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

    async def events_of_batch(self, batch_id: BatchId) -> tuple[Planting, ...]:
        """One per item of a completed batch."""
        rows = await self.database.many("events_of_batch", batch_id)
        return tuple(Planting(**row) for row in rows)

    async def list_plantings(self, chosen: EventFilter) -> list[Planting]:
        """Recorded plantings, newest block first."""
        rows = await self.database.many("list_plantings", *chosen.arguments())
        return [Planting(**row) for row in rows]
