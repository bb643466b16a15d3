"""Typed access to what the public list of poolers shows."""

from collections.abc import Sequence

from libs.common.db.pool import Database
from libs.common.ids import PoolerId
from services.harvest.domain.poolers import Figures, ListedPooler, Openings, numbered
from services.harvest.domain.reports import Blocks


class PoolerStore:
    """The reads of the list."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(self, *, after: PoolerId | None, limit: int) -> list[ListedPooler]:
        """Return poolers that are listed, in the order of their ids."""
        rows = await self._database.many("listed_poolers", after, limit)
        return [ListedPooler(**row) for row in rows]

    async def figures(
        self, poolers: Sequence[PoolerId], windows: Sequence[Blocks]
    ) -> list[Figures]:
        """Return what each of the poolers came to in each of the windows."""
        runs = numbered(windows)
        rows = await self._database.many(
            "pooler_figures",
            list(poolers),
            [number for number, _ in runs],
            [run.blocks for _, run in runs],
            [run.first for _, run in runs],
            [run.last for _, run in runs],
        )
        return [Figures(**row) for row in rows]

    async def openings(self, windows: Sequence[Blocks]) -> list[Openings]:
        """Return the openings that are known of the windows; none of one without any."""
        rows = await self._database.many(
            "known_openings", [one.first for one in windows], [one.last for one in windows]
        )
        return [Openings(**row) for row in rows]
