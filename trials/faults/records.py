"""What the pool recorded, read with all rights, also from a PostgreSQL that comes and goes."""

import asyncio
from pathlib import Path

import asyncpg

from devstack.check import AWAY
from libs.common.db.queries import load_queries

_QUERIES = load_queries(Path(__file__).parent / "records.sql")
#: Seconds for which a PostgreSQL that is away is waited for.
PATIENCE = 60.0
_PAUSE = 0.2


class Records:
    """The queries of records.sql, each on a connection of its own."""

    def __init__(self, dsn: str) -> None:
        """`dsn` is the administrator's."""
        self._dsn = dsn

    async def many(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of a query by its name; repeats it while PostgreSQL is away."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                return await self._fetch(name, *arguments)
            except AWAY:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(_PAUSE)

    async def count(self, name: str) -> int:
        """The number that a query gives."""
        (row,) = await self.many(name)
        return int(row[0])

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self._dsn)
        try:
            return list(await connection.fetch(_QUERIES[name].sql, *arguments))
        finally:
            await connection.close()
