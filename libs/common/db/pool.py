"""A connection pool with typed failures.

A failure is UnavailableError when PostgreSQL is away, and a defect otherwise.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from libs.common.db.failures import Causes, translated_errors
from libs.common.db.queries import Query, load_queries
from libs.common.db.schemas import Release
from libs.common.db.sessions import session_settings
from libs.common.db.tls import DatabaseAddress
from libs.common.db.version import refuse_old
from libs.common.errors import UnavailableError

Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "PoolConnectionProxy[Record]"

if TYPE_CHECKING:  # it has type arguments in its stub only
    _BaseConnection: TypeAlias = asyncpg.Connection[Record]
else:
    _BaseConnection = asyncpg.Connection


class _Connection(_BaseConnection):
    """A connection that goes back to the pool as it is, once its transaction is over.

    No query of ours sets anything that outlives a transaction, and asyncpg's own reset costs a
    round trip for every statement.
    """

    def get_reset_query(self) -> str:
        """Return an empty query: asyncpg's hook then resets nothing."""
        return ""

    async def reset(self, *, timeout: float | None = None) -> None:
        """Reset without a timer: the only statement that this may take has a limit of its own."""
        await super().reset()


#: Seconds for which an unused connection is kept: longer than a block, so that a burst of calls
#: finds the connections of the last burst. A new connection costs some 10 ms of CPU here, for its
#: password alone.
_KEEP_IDLE = 900.0
#: PostgreSQL's answers to the slower one of two that make the same thing at the same moment.
MADE_MEANWHILE = (
    asyncpg.DuplicateObjectError,
    asyncpg.DuplicateSchemaError,
    asyncpg.DuplicateTableError,
    asyncpg.UniqueViolationError,
)
#: Seconds for which an answer tells that PostgreSQL is there.
_MOMENT = 1.0
#: Tells the actor to the database, for the records that the database itself writes of changes. It
#: ends with the transaction: the connection may be somebody else's after that (PgBouncer).
_TELL_ACTOR = "SELECT pg_catalog.set_config('kalepool.actor', $1, true)"


class Session:
    """One connection, in or out of a transaction, that runs named queries."""

    def __init__(self, connection: Connection, queries: dict[str, Query]) -> None:
        self.connection = connection
        self._queries = queries

    async def one(self, name: str, *arguments: object) -> Record | None:
        """Run a `:one` query; return its row, or None."""
        return await self.connection.fetchrow(self._sql(name, "one"), *arguments)

    async def many(self, name: str, *arguments: object) -> list[Record]:
        """Run a `:many` query; return its rows."""
        return await self.connection.fetch(self._sql(name, "many"), *arguments)

    async def execute(self, name: str, *arguments: object) -> int:
        """Run an `:exec` query; return the number of rows that it touched."""
        status = await self.connection.execute(self._sql(name, "exec"), *arguments)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    def _sql(self, name: str, kind: str) -> str:
        query = self._queries[name]
        if query.kind != kind:
            raise ValueError(f"query {name} is :{query.kind}, called as :{kind}")
        return query.sql


class Database:
    """A service's access to PostgreSQL: sessions that run the queries of its queries.sql."""

    def __init__(
        self,
        pool: "asyncpg.Pool[Record]",
        queries: dict[str, Query],
        timeout: float,
        actor: Callable[[], str] | None = None,
        release: Release | None = None,
        *,
        is_shared: bool = False,
    ) -> None:
        """Take `is_shared` where a connection is ours for a transaction only (PgBouncer)."""
        self._pool = pool
        self._actor = actor
        self._is_shared = is_shared
        self._queries = queries
        self._timeout = timeout
        self._release = release
        self._causes = Causes()
        #: When PostgreSQL last answered (monotonic s).
        self._answered = -math.inf

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Open a session outside of any transaction: each statement commits for itself.

        All statements are one transaction where the database records who is behind a change, and
        where a connection is ours for a transaction only.
        """
        if self._actor is not None or self._is_shared:
            async with self.transaction() as session:
                yield session
        else:
            async with self._connection() as connection:
                yield Session(connection, self._queries)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Open a session in a transaction that commits at the end and rolls back on any error."""
        async with self._connection() as connection, connection.transaction():
            if self._actor is not None:
                await connection.execute(_TELL_ACTOR, self._actor())
            yield Session(connection, self._queries)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """Open a session that sees the database as it is at one moment, and changes nothing."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield Session(connection, self._queries)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with translated_errors(self._causes):
            # A connection that is free needs no timer.
            timeout = None if self._pool.get_idle_size() else self._timeout
            connection = await self._pool.acquire(timeout=timeout)
            try:
                yield connection
                self._answered = time.monotonic()
                self._causes.answered()
            finally:
                await self._pool.release(connection, timeout=self._timeout)

    async def one(self, name: str, *arguments: object) -> Record | None:
        """Run Session.one in a session of its own."""
        async with self.session() as session:
            return await session.one(name, *arguments)

    async def many(self, name: str, *arguments: object) -> list[Record]:
        """Run Session.many in a session of its own."""
        async with self.session() as session:
            return await session.many(name, *arguments)

    async def execute(self, name: str, *arguments: object) -> int:
        """Run Session.execute in a session of its own."""
        async with self.session() as session:
            return await session.execute(name, *arguments)

    async def is_up(self) -> bool:
        """Tell, for the health check, whether PostgreSQL takes statements, or did a moment ago."""
        if time.monotonic() - self._answered < _MOMENT:
            return True
        try:
            async with self.session() as session:
                if self._release is None:
                    await session.connection.fetchval("SELECT 1", timeout=2)
                else:
                    await self._release.check(session.connection)
        except UnavailableError as error:
            if error.__cause__ is None:  # PostgreSQL answers, and is not what we need
                self._causes.failed(error.message)
            return False
        return True


@asynccontextmanager
async def open_database(
    address: DatabaseAddress,
    *,
    queries: Path | Sequence[Path],
    pool_size: int,
    timeout_ms: int,
    name: str,
    lock_timeout_ms: int = 10_000,
    actor: Callable[[], str] | None = None,
    release: Release | None = None,
    pgbouncer: bool = False,
) -> AsyncIterator[Database]:
    """Open a pool that connects lazily.

    PostgreSQL may be away at start, and come and go afterwards. A PostgreSQL that is too old is
    refused by DatabaseTooOldError when the first connection is made.

    `queries` is the service's queries.sql, or several files that belong together; `name` is shown
    in pg_stat_activity. `actor` returns who is behind the next session, for the database's records.
    `release` is what the database has to have, for the health check; None: nothing.
    A statement ends after `timeout_ms`, and after `lock_timeout_ms` when it waits for a lock.

    With `pgbouncer` the address is a PgBouncer's that lends a connection for one transaction:
    nothing is kept in a session, and the role's settings, which migrations make, count.
    """
    loaded = load_queries(*([queries] if isinstance(queries, Path) else queries))
    timeout = timeout_ms / 1000
    pool: asyncpg.Pool[Record] = asyncpg.create_pool(
        address.dsn,
        ssl=address.security(),
        min_size=0,
        max_size=pool_size,
        max_inactive_connection_lifetime=_KEEP_IDLE,
        # A block is as long as the five minutes after which statements would be prepared anew; and
        # no service has so many.
        max_cached_statement_lifetime=0,
        statement_cache_size=0 if pgbouncer else 256,
        command_timeout=timeout,
        timeout=min(timeout, 10),
        server_settings=_server_settings(
            name, {} if pgbouncer else session_settings(timeout_ms, lock_timeout_ms)
        ),
        connection_class=_Connection,
        init=refuse_old,
    )
    async with _opened(pool) as opened:
        yield Database(opened, loaded, timeout, actor, release, is_shared=pgbouncer)


@asynccontextmanager
async def _opened(pool: "asyncpg.Pool[Record]") -> AsyncIterator["asyncpg.Pool[Record]"]:
    async with pool:
        yield pool


def _server_settings(name: str, settings: dict[str, str]) -> dict[str, str]:
    # PgBouncer passes these two on, and refuses others.
    return {"application_name": f"kalepool-{name}", "timezone": "UTC", **settings}
