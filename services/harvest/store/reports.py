"""Typed access to the sums that reports are made of, and to events of a fixed number of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, PoolerId
from libs.common.spans import FIRST, Span
from services.harvest.domain.reports import (
    Began,
    BlockReport,
    Blocks,
    Earnings,
    FarmerSuccess,
    People,
    ReportedFarmer,
    Success,
)

QUERIES = Path(__file__).parent / "queries_reports.sql"
#: The database's span that is all of time.
_ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Whose:
    """Whose figures are asked for: a pooler's, a farmer's, or the whole pool's."""

    #: The pooler.
    pooler_id: PoolerId | None = None
    #: The farmer.
    farmer_id: FarmerId | None = None


class ReportStore:
    """The reads of reports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def began(self, whose: Whose) -> Began | None:
        """Return the database's time and the registration; None for an id that does not exist."""
        if whose.farmer_id is not None:
            row = await self._database.one("farmer_began", whose.farmer_id)
        elif whose.pooler_id is not None:
            row = await self._database.one("pooler_began", whose.pooler_id)
        else:
            row = await self._database.one("pool_began")
        return None if row is None else Began(**row)

    async def earnings(
        self, whose: Whose, span: Span, starts: Sequence[datetime]
    ) -> list[Earnings]:
        """Return what was earned in the spans that began at these moments, newest first."""
        return await self._earnings(whose, span.value, starts)

    async def ever(self, pooler_id: PoolerId | None) -> Earnings:
        """Return what a pooler, or the pool, earned in all of time."""
        (found,) = await self._earnings(Whose(pooler_id=pooler_id), _ALL, [FIRST])
        return found

    async def _earnings(
        self, whose: Whose, span: str, starts: Sequence[datetime]
    ) -> list[Earnings]:
        if whose.farmer_id is not None:
            rows = await self._database.many("farmer_earnings", span, starts, whose.farmer_id)
        elif whose.pooler_id is not None:
            rows = await self._database.many("pooler_earnings", span, starts, whose.pooler_id)
        else:
            rows = await self._database.many("pool_earnings", span, starts)
        return [Earnings(**row) for row in rows]

    async def people(self, pooler_id: PoolerId | None) -> People:
        """Return who farms with a pooler, or with the pool."""
        row = await self._database.one("people", pooler_id)
        if row is None:
            raise LookupError("a count without a row")
        return People(**row)

    async def success(self, pooler_id: PoolerId | None, blocks: Blocks) -> Success:
        """Return how often farming of a pooler, or of the pool, succeeded in these blocks."""
        row = await self._database.one("success", blocks.first, blocks.last, pooler_id)
        if row is None:
            raise LookupError("sums without a row")
        return Success(**row)

    async def farmer_success(self, farmer_id: FarmerId, blocks: Blocks) -> FarmerSuccess:
        """Return how often a farmer succeeded in these blocks."""
        row = await self._database.one("farmer_success", blocks.first, blocks.last, farmer_id)
        if row is None:
            raise LookupError("counts without a row")
        return FarmerSuccess(**row)

    async def farmer(
        self, *, farmer_id: FarmerId | None = None, address: str = ""
    ) -> ReportedFarmer | None:
        """Return a farmer by its id or by its address; None for one that there is not."""
        if farmer_id is not None:
            row = await self._database.one("farmer_by_id", farmer_id)
        else:
            row = await self._database.one("farmer_by_address", address)
        return None if row is None else ReportedFarmer(**row)

    async def blocks(
        self, pooler_id: PoolerId | None, *, before: int, limit: int
    ) -> list[BlockReport]:
        """Return the blocks before one that a pooler, or the pool, took part in, newest first."""
        query = "pool_blocks" if pooler_id is None else "pooler_blocks"
        rows = await self._database.many(query, before, limit, pooler_id)
        return [BlockReport(**row) for row in rows]

    async def farmers_by_zeros(self, block_index: int) -> list[int]:
        """Return the numbers of farmers in a block by zeros, from none up to the most."""
        rows = await self._database.many("farmers_by_zeros", block_index)
        return [row["farmers"] for row in rows]
