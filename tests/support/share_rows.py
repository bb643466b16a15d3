"""Rows of the database of shares as a test of a single query wants them, in SQLite and PostgreSQL.

Each row has what its constraints ask for; a test names only what its query looks at.
"""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from libs.common.db.tls import DatabaseAddress
from libs.common.ids import new_id
from pooler.shares.store.database import Database
from pooler.shares.store.postgres import open_postgres
from pooler.shares.store.sqlite import in_sqlite, open_sqlite
from pooler.shares.store.store import Store
from tests.support.database import DatabaseAccess, connect
from tests.support.table_rows import read_as_stored

#: A moment (unix ms), and a block.
NOW, BLOCK = 1_769_860_800_000, 7


@dataclass(frozen=True, kw_only=True)
class ShareRows:
    """A writer beside the store, and the store."""

    store: Store
    database: Database
    #: Runs a statement; its rows come in the order in which they stand unless it says another one.
    run: Callable[..., Awaitable[list[tuple[Any, ...]]]]
    #: What PostgreSQL asks for where a test gives a row its number.
    _numbered: str
    _names: "count[int]" = field(default_factory=lambda: count(1))

    async def insert(self, table: str, **values: Any) -> None:
        """Write a row."""
        row = self._usual(table) | values
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await self.run(
            f"INSERT INTO shares.{table} ({', '.join(row)}) "  # noqa: S608  (ours)
            f"{self._numbered} VALUES ({places})",
            *row.values(),
        )

    async def people(self) -> None:
        """Write miners 1, 2 and 3, of whom each has a worker; and farmers.

        Workers 30, 20 and 10 are those of miners 1, 2 and 3; farmers have the numbers 1 to 4.
        """
        for miner in (2, 1, 3):
            await self.insert("miners", number=miner)
            await self.insert("workers", number=40 - 10 * miner, miner=miner)
        for farmer in range(1, 5):
            await self.insert("farmers", number=farmer)

    async def blocks(self, *blocks: int, state: str = "mined") -> None:
        """Write blocks."""
        for block in blocks:
            await self.insert("blocks", block=block, state=state)

    async def many(self, name: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query as they come."""
        async with self.database.reading() as session:
            rows = await session.many(name, *arguments)
        return [tuple(row[column] for column in row.keys()) for row in rows]  # noqa: SIM118

    async def one(self, name: str, *arguments: object) -> Any:
        """Return the first value of a query's row; None without a row."""
        async with self.database.reading() as session:
            row = await session.one(name, *arguments)
        return None if row is None else row[next(iter(row.keys()))]

    async def execute(self, name: str, *arguments: object) -> int:
        """Return how many rows a query touched."""
        async with self.database.transaction() as session:
            return await session.execute(name, *arguments)

    async def each(self, name: str, *rows: Sequence[object]) -> None:
        """Run a query with each row of arguments."""
        async with self.database.transaction() as session:
            await session.each(name, rows)

    async def table(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        """Return the columns of all rows, sorted."""
        return sorted(await self.run(f"SELECT {columns} FROM shares.{table}"))  # noqa: S608  (ours)

    def _usual(self, table: str) -> dict[str, Any]:
        name = next(self._names)
        of_table: dict[str, dict[str, Any]] = {
            "miners": {
                "miner_id": str(new_id()),
                "credential_hash": name.to_bytes(32, "big"),
                "address": f"G{name}",
                "name": "",
                "terms": "t",
                "joined_at": NOW,
            },
            "workers": {"name": f"rig {name}", "first_at": NOW},
            "farmers": {"farmer_id": str(new_id())},
            "blocks": {
                "entropy": bytes(32),
                "state": "mined",
                "opened_at": NOW,
                "miners_bps": 1000,
                "own_takes_part": 1,
            },
            "shares": {
                "block": BLOCK,
                "farmer": 1,
                "nonce": name,
                "worker": 30,
                "points": 1,
                "zeros": 1,
                "at": NOW,
            },
            "bests": {"block": BLOCK, "nonce": str(name), "zeros": 1},
            "worker_blocks": {
                "block": BLOCK,
                "worker": 30,
                "shares": 1,
                "points": 1,
                "squares": 1.0,
                "best": 1,
            },
            "late_shares": {
                "block": BLOCK,
                "worker": 30,
                "shares": 1,
                "points": 1,
                "latest_ms": 1,
            },
            "levels": {"worker": 30, "shares": 2, "better": 1},
            "parts": {"block": BLOCK, "miner": 1, "points": 1, "amount": 1},
        }
        return of_table[table]


@asynccontextmanager
async def sqlite_rows(path: Path) -> AsyncIterator[ShareRows]:
    """Open the rows of a file."""
    async with open_sqlite(path) as database:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:

            async def run(sql: str, *arguments: object) -> list[tuple[Any, ...]]:
                return connection.execute(in_sqlite(sql), arguments).fetchall()

            yield ShareRows(store=Store(database), database=database, run=run, _numbered="")


@asynccontextmanager
async def postgres_rows(access: DatabaseAccess) -> AsyncIterator[ShareRows]:
    """Open the rows of a database; they are read in the order in which they stand."""
    await read_as_stored(access)
    async with (
        open_postgres(DatabaseAddress(dsn=access.admin_dsn)) as database,
        connect(access.admin_dsn) as connection,
    ):

        async def run(sql: str, *arguments: object) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in await connection.fetch(sql, *arguments)]

        numbered = "OVERRIDING SYSTEM VALUE"
        yield ShareRows(store=Store(database), database=database, run=run, _numbered=numbered)
