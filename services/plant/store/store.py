"""Typed access to plant's tables."""

from collections.abc import Sequence
from pathlib import Path

from libs.batches.store import QUERIES as BATCH_QUERIES
from libs.batches.store import BatchTables
from libs.common.db.pool import Record, Session
from libs.common.ids import BatchId, FarmerId, PoolerId
from services.plant.domain.model import Candidate, PlannedPlant, Planting, PlantRequest

#: Queries: those of plant, and those that all services with batches share.
QUERIES = (BATCH_QUERIES, Path(__file__).parent / "queries.sql")
MIGRATIONS = Path(__file__).parent / "migrations"


class Store(BatchTables[tuple[FarmerId, int], Planting]):
    """All tables of plant; the items sent to wallet are (farmer, stake)."""

    def item_of(self, row: Record) -> tuple[FarmerId, int]:
        """See BatchTables."""
        return row["farmer_id"], row["stake"]

    def event_of(self, row: Record) -> Planting:
        """See BatchTables."""
        return Planting(**row)

    async def pooler_is_active(self, pooler_id: PoolerId) -> bool | None:
        """Tell whether the pooler is active; None for an unknown pooler."""
        row = await self.database.one("pooler_is_active", pooler_id)
        return None if row is None else bool(row["is_active"])

    async def candidates(self, session: Session, request: PlantRequest) -> list[Candidate]:
        """Return farmers who can plant in the block and have not, in the order of registration.

        Those that sit the block out are not among them.
        """
        rows = await session.many(
            "candidates",
            request.pooler_id,
            request.block_index,
            request.capacity,
            sorted(request.sitting_out),
        )
        return [Candidate(**row) for row in rows]

    async def insert_plan(
        self,
        session: Session,
        request: PlantRequest,
        plan: Sequence[PlannedPlant],
        chunk_size: int,
    ) -> BatchId:
        """Make a plan durable."""
        stakes = [item.stake for item in plan]
        return await self.insert_batch(session, request, plan, chunk_size, stakes)
