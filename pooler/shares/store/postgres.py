"""The database of shares in PostgreSQL, in a schema of its own; for a pooler with a standby."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from libs.common.db.pool import MADE_MEANWHILE, Database, Record, Session, open_database
from libs.common.db.queries import load_queries
from libs.common.db.tls import DatabaseAddress
from pooler.shares.store.database import (
    FOLDER,
    QUERIES,
    SCHEMA,
    SCHEMA_FACT,
    BackupError,
    WrongDatabaseError,
)

#: Connections at most: one writes, some read.
_CONNECTIONS = 8
_TIMEOUT_MS = 30_000
_IS_THERE = "SELECT to_regclass('shares.facts') IS NOT NULL"


class _Session:
    """A session, which can also run one query many times."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.one = session.one
        self.many = session.many
        self.execute = session.execute

    async def each(self, name: str, rows: Sequence[Sequence[object]]) -> Sequence[Record]:
        """See pooler.shares.store.database.Session."""
        if not rows:
            return []
        return await self._session.connection.fetchmany(_SQL[name].sql, rows)


_SQL = load_queries(QUERIES)


class PostgresDatabase:
    """A pool of connections."""

    def __init__(self, database: Database) -> None:
        """Take a database whose tables are there."""
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[_Session]:
        """See pooler.shares.store.database.Database."""
        async with self._database.transaction() as session:
            yield _Session(session)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[_Session]:
        """See pooler.shares.store.database.Database."""
        async with self._database.session() as session:
            yield _Session(session)

    async def backup(self, target: Path) -> None:
        """See pooler.shares.store.database.Database."""
        raise BackupError(f"PostgreSQL is copied by pg_dump --schema=shares, not into {target}")


@asynccontextmanager
async def open_postgres(address: DatabaseAddress) -> AsyncIterator[PostgresDatabase]:
    """Open the database; the schema is made when it is not there.

    Raise UnavailableError while PostgreSQL is away, and WrongDatabaseError for another version.
    """
    async with open_database(
        address,
        queries=QUERIES,
        pool_size=_CONNECTIONS,
        timeout_ms=_TIMEOUT_MS,
        name="shares",
    ) as database:
        # Another pooler may make it at the same moment.
        with suppress(*MADE_MEANWHILE):
            await _make_tables(database)
        await _check(database)
        yield PostgresDatabase(database)


async def _make_tables(database: Database) -> None:
    async with database.transaction() as session:
        if not await session.connection.fetchval(_IS_THERE):
            schema = (FOLDER / "schema_postgres.sql").read_text(encoding="utf-8")
            await session.connection.execute(schema)
            await session.execute("keep_fact", SCHEMA_FACT, SCHEMA)


async def _check(database: Database) -> None:
    row = await database.one("fact", SCHEMA_FACT)
    if row is None or row["value"] != SCHEMA:
        raise WrongDatabaseError("the schema shares is of another version")
