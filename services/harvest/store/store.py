"""Typed access to harvest's tables."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from libs.batches.model import HORIZON
from libs.batches.store import QUERIES as BATCH_QUERIES
from libs.batches.store import BatchTables
from libs.common.db.pool import Record, Session
from libs.common.ids import FarmerId, PoolerId
from services.harvest.domain.model import (
    Balance,
    Candidate,
    Harvest,
    PendingBlock,
)
from services.harvest.store.credits import QUERIES as CREDIT_QUERIES
from services.harvest.store.ledger import QUERIES as LEDGER_QUERIES
from services.harvest.store.payouts import QUERIES as PAYOUT_QUERIES
from services.harvest.store.reports import QUERIES as REPORT_QUERIES
from services.harvest.store.statements import QUERIES as STATEMENT_QUERIES

#: Queries: those of harvest, its reports, its ledger, miners' credits, payouts and statements, and
#: those that all services with batches share.
QUERIES = (
    BATCH_QUERIES,
    Path(__file__).parent / "queries.sql",
    REPORT_QUERIES,
    LEDGER_QUERIES,
    CREDIT_QUERIES,
    PAYOUT_QUERIES,
    STATEMENT_QUERIES,
)
MIGRATIONS = Path(__file__).parent / "migrations"


class Store(BatchTables[FarmerId, Harvest]):
    """All tables of harvest; the items sent to wallet are farmers."""

    def item_of(self, row: Record) -> FarmerId:
        """See BatchTables."""
        farmer_id: FarmerId = row["farmer_id"]
        return farmer_id

    def event_of(self, row: Record) -> Harvest:
        """See BatchTables."""
        return Harvest(**row)

    async def current_block(self) -> int | None:
        """Return the index of the running block; None before any was opened."""
        return (await self.head()).current_block

    async def farmer_exists(self, farmer_id: FarmerId) -> bool:
        """Tell whether the farmer exists."""
        return await self.database.one("farmer_exists", farmer_id) is not None

    async def balance(self, farmer_id: FarmerId) -> Balance | None:
        """Return a farmer's earnings; None when the farmer has earned nothing yet."""
        row = await self.database.one("balance", farmer_id)
        return None if row is None else Balance(**row)

    async def pending_blocks(
        self,
        *,
        pooler_id: PoolerId | None,
        current_block: int,
        limit: int,
        pause: float | None = None,
        after: int = 1,
    ) -> list[PendingBlock]:
        """Return closed blocks that have something to harvest, earliest expiry first.

        Harvests that are on the way do not count. A failed harvest is left out for 1, 2, 4 ... 32
        times `pause` seconds; with None it is not left out. A pooler's blocks are left out until
        the running block is `after` blocks behind the oldest of them.
        """
        rows = await self.database.many(
            "pending_blocks",
            pooler_id,
            current_block,
            current_block - HORIZON,
            limit,
            pause,
            after,
        )
        return [PendingBlock(**row) for row in rows]

    async def count_pending(self, *, pooler_id: PoolerId | None, current_block: int) -> int:
        """Count the open harvests of closed blocks, also those that are on the way."""
        row = await self.database.one(
            "count_pending", pooler_id, current_block, current_block - HORIZON
        )
        return 0 if row is None else int(row["harvests"])

    async def candidates(
        self, session: Session, pooler_id: PoolerId, block_index: int
    ) -> list[Candidate]:
        """Return the farmers who worked in the block and have not harvested it."""
        rows = await session.many("candidates", pooler_id, block_index)
        return [Candidate(**row) for row in rows]

    async def owners_of_farmers(self, ids: Sequence[str]) -> set[str]:
        """Return the poolers (ids) that own these farmers.

        The result has "" when one of the farmers is nobody's.
        """
        rows = await self.database.many("owners_of_farmers", list(map(UUID, ids)))
        return {row["pooler_id"] for row in rows}
