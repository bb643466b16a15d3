"""Typed access to harvest's tables."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from uuid import UUID

from libs.batches.listing import EventFilter
from libs.batches.model import HORIZON, Chunk
from libs.batches.store import BatchTables
from libs.common.db.pool import Session
from libs.common.ids import BatchId, FarmerId, PoolerId, new_id
from services.harvest.domain.model import (
    Balance,
    Candidate,
    Harvest,
    HarvestRequest,
    PendingBlock,
)

QUERIES = Path(__file__).parent / "queries.sql"


class Store(BatchTables):
    """All of it; satisfies libs.batches.model.BatchStore."""

    async def pooler_exists(self, pooler_id: PoolerId) -> bool:
        """Whether there is such a pooler."""
        return await self.database.one("pooler_exists", pooler_id) is not None

    async def farmer_exists(self, farmer_id: FarmerId) -> bool:
        """Whether there is such a farmer."""
        return await self.database.one("farmer_exists", farmer_id) is not None

    async def balance(self, farmer_id: FarmerId) -> Balance | None:
        """What a farmer has earned; None when nothing yet."""
        row = await self.database.one("balance", farmer_id)
        return None if row is None else Balance(**row)

    async def pending_blocks(
        self,
        *,
        pooler_id: PoolerId | None,
        current_block: int,
        limit: int,
        pause: float | None = None,
    ) -> list[PendingBlock]:
        """Closed blocks with something to harvest that is not on the way, earliest expiry first.

        What has failed is left out for 1, 2, 4 ... 32 times `pause` seconds; None: it is not.
        """
        rows = await self.database.many(
            "pending_blocks",
            pooler_id,
            current_block,
            current_block - HORIZON,
            limit,
            pause,
        )
        return [PendingBlock(**row) for row in rows]

    async def count_pending(self, *, pooler_id: PoolerId | None, current_block: int) -> int:
        """Harvests of closed blocks that are still open, also those that are on the way."""
        row = await self.database.one(
            "count_pending", pooler_id, current_block, current_block - HORIZON
        )
        return 0 if row is None else int(row["harvests"])

    async def candidates(
        self, session: Session, pooler_id: PoolerId, block_index: int
    ) -> list[Candidate]:
        """Farmers who worked in the block and have not harvested it."""
        rows = await session.many("candidates", pooler_id, block_index)
        return [Candidate(**row) for row in rows]

    async def insert_batch(
        self,
        session: Session,
        request: HarvestRequest,
        candidates: Sequence[Candidate],
        chunk_size: int,
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
            [item.farmer_id for item in candidates],
            [new_id() for _ in candidates],
            [position // chunk_size for position in range(len(candidates))],
            [item.address for item in candidates],
        )
        return batch_id

    async def chunks(self, batch_id: BatchId) -> list[Chunk[FarmerId]]:
        """What is still to be settled, as calls of wallet."""
        batch = await self.batch(batch_id)
        rows = await self.database.many("items", batch_id)
        return [
            Chunk(
                request_id=f"harvest-{batch_id}-{number}",
                block_index=batch.block_index,
                number=number,
                items=tuple(row["farmer_id"] for row in items),
            )
            for number, items in groupby(rows, key=lambda row: row["chunk"])
        ]

    async def events_of_batch(self, batch_id: BatchId) -> tuple[Harvest, ...]:
        """One per item of a completed batch."""
        rows = await self.database.many("events_of_batch", batch_id)
        return tuple(Harvest(**row) for row in rows)

    async def list_harvests(self, chosen: EventFilter) -> list[Harvest]:
        """Recorded harvests, newest block first."""
        rows = await self.database.many("list_harvests", *chosen.arguments())
        return [Harvest(**row) for row in rows]

    async def owners_of_farmers(self, ids: Sequence[str]) -> set[str]:
        """The poolers (ids) whose farmers these are; "" when there is one that is nobody's."""
        rows = await self.database.many("owners_of_farmers", list(map(UUID, ids)))
        return {row["pooler_id"] for row in rows}
