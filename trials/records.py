"""The pool's records, read with all rights, also from a PostgreSQL that is away at times."""

import asyncio
from collections.abc import Mapping

import asyncpg

from devstack.check import AWAY
from libs.common.db.queries import Query

#: Seconds to wait for a PostgreSQL that is away.
PATIENCE = 60.0
_PAUSE = 0.2


class Records:
    """Queries by their names, each on a connection of its own."""

    def __init__(self, dsn: str, queries: Mapping[str, Query]) -> None:
        """Take the administrator's `dsn`."""
        self._dsn = dsn
        self._queries = queries

    async def many(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        """Return all rows of a query by its name; repeat the query while PostgreSQL is away."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                return await self._fetch(name, *arguments)
            except AWAY:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(_PAUSE)

    async def count(self, name: str) -> int:
        """Return the number that a query yields."""
        (row,) = await self.many(name)
        return int(row[0])

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self._dsn)
        try:
            return list(await connection.fetch(self._queries[name].sql, *arguments))
        finally:
            await connection.close()
