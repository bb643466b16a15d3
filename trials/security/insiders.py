"""One service's database role that takes all that it can, with that service's own password.

Whoever has the password of plant, work, harvest or registry can log in and hold what the server
lets that role hold: locks, connections, processor time, room for temporary files, notifications.
None of it may keep wallet from signing for longer than the machine itself is slower, and nothing at
all may keep an operator from stopping it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[Any]"

#: The modes of a table's lock, the strongest first.
_MODES = (
    "ACCESS EXCLUSIVE",
    "EXCLUSIVE",
    "SHARE ROW EXCLUSIVE",
    "SHARE",
    "SHARE UPDATE EXCLUSIVE",
    "ROW EXCLUSIVE",
    "ROW SHARE",
    "ACCESS SHARE",
)
_TABLES = """
SELECT n.nspname AS schema, format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname NOT IN ('pg_toast', 'information_schema')
ORDER BY 1, 2
"""
#: What fills the server's table of locks, if it is allowed: each of these takes a lock of its own.
_FILLING = {
    "advisory locks": "SELECT count(pg_advisory_xact_lock(g)) FROM generate_series(1, 30000) AS g",
    "shared advisory locks": (
        "SELECT count(pg_try_advisory_xact_lock_shared(7, g)) FROM generate_series(1, 30000) AS g"
    ),
    "large objects": ("SELECT count(lo_unlink(lo_create(0))) FROM generate_series(1, 30000) AS g"),
    "temporary tables": "CREATE TEMPORARY TABLE mine (id int)",
    "tables in public": "CREATE TABLE public.mine (id int)",
}
#: A query that has no end and writes no file (a function after FROM would fill the disk), and one
#: that sorts more than fits into memory.
_HEAVY = "SELECT count(*) FROM (SELECT generate_series(1, 1000000000000)) AS g"
_SORTED = (
    "SELECT count(*) FROM "
    "(SELECT repeat(md5(g::text), 60) AS t FROM generate_series(1, 300000) AS g ORDER BY 1) AS s"
)
#: Connections that are opened at most, and those of them that are kept busy.
_MOST, _BUSY = 400, 2
#: Bytes of a notification, and notifications in a transaction.
_PAYLOAD, _NOTIFICATIONS = 7000, 500
#: Errors of what a role may not do, or may do no more of.
_REFUSED = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.WrongObjectTypeError,
    asyncpg.RaiseError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)
#: A wallet that runs ends sessions that hold up everybody.
_ENDED = (asyncpg.AdminShutdownError, asyncpg.PostgresConnectionError)


@dataclass(kw_only=True)
class Taken:
    """What a role has taken, and holds."""

    #: Tables and views by the strongest mode of the lock on them: the role's own, and others'.
    own: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    #: What would fill the server's table of locks or its disk, and is allowed.
    filling: list[str] = field(default_factory=list)
    #: Connections that were opened before one was refused.
    connections: int = 0
    #: Whether a sort in temporary files came to its end.
    sorted: bool = False

    @property
    def in_the_way(self) -> Sequence[str]:
        """Return locks that are in the way of readers, or of others who write what is theirs."""
        own = [mode for mode in self.own if mode == "ACCESS EXCLUSIVE"]
        return [*own, *(mode for mode in self.others if mode != "ACCESS SHARE")]

    def words(self) -> str:
        """Return what was taken, in words."""
        own = ", ".join(f"{count} {mode.lower()}" for mode, count in self.own.items())
        others = ", ".join(f"{count} {mode.lower()}" for mode, count in self.others.items())
        filling = ", ".join(self.filling) or "none"
        return (
            f"own tables: {own or 'none'}; others': {others or 'none'}; filling: {filling}; "
            f"{self.connections} connections; large sort {'done' if self.sorted else 'refused'}"
        )


@contextlib.asynccontextmanager
async def taking_everything(service: str, dsn: str) -> AsyncIterator[Taken]:
    """Hold all that a service's role can take while the block runs."""
    taken = Taken()
    async with contextlib.AsyncExitStack() as stack:
        first = await _connected(dsn)
        stack.push_async_callback(_dropped, first)
        await first.execute("BEGIN; SET LOCAL lock_timeout = '500ms'")
        await _make_partitions(first, service)
        await _take_locks(first, service, taken)
        await _fill(dsn, taken)
        held = await _connect_all(dsn, taken)
        for connection in held:
            stack.push_async_callback(_dropped, connection)
        tasks = [asyncio.create_task(_run_on(one, _HEAVY)) for one in held[:_BUSY]]
        stack.push_async_callback(_cancelled, tasks)
        await _sort_and_tell(held[_BUSY:], taken)
        yield taken


async def _connected(dsn: str) -> Connection:
    # No prepared statements are kept: each would hold locks of its own in this process's memory.
    return await asyncpg.connect(dsn, timeout=10, statement_cache_size=0)


async def _dropped(connection: Connection) -> None:
    connection.terminate()


async def _cancelled(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _run_on(connection: Connection, query: str) -> None:
    with contextlib.suppress(asyncpg.PostgresError, OSError, asyncpg.InterfaceError):
        await connection.execute(query)


async def _allowed(connection: Connection, statement: str) -> bool:
    """Run a statement in a savepoint; tell whether it is allowed, and keep what it has taken."""
    await connection.execute("SAVEPOINT try")
    try:
        await connection.execute(statement)
    except _REFUSED:
        await connection.execute("ROLLBACK TO SAVEPOINT try")
        return False
    await connection.execute("RELEASE SAVEPOINT try")
    return True


async def _make_partitions(connection: Connection, service: str) -> None:
    """Make a partition of the role's own events, and leave it uncommitted."""
    await _allowed(connection, f"SELECT {service}.ensure_partition(19999)")


async def _take_locks(connection: Connection, service: str, taken: Taken) -> None:
    """Lock every table in the strongest mode that is allowed, and every row that is."""
    for row in await connection.fetch(_TABLES):
        modes = _MODES if not row["schema"].startswith("pg_") else _MODES[-1:]
        for mode in modes:
            if await _allowed(connection, f"LOCK TABLE {row['name']} IN {mode} MODE NOWAIT"):
                (taken.own if row["schema"] == service else taken.others)[mode] += 1
                break
        if not row["schema"].startswith("pg_"):
            for strength in ("UPDATE", "KEY SHARE"):
                query = f"SELECT 1 FROM {row['name']} FOR {strength} SKIP LOCKED"  # noqa: S608  (the server's own quoting)
                if await _allowed(connection, query):
                    if row["schema"] != service:
                        taken.others[f"FOR {strength}"] += 1
                    break


async def _fill(dsn: str, taken: Taken) -> None:
    """Take what fills the server, one after the other: each is given back, as all is after one."""
    for name, statement in _FILLING.items():
        connection = await _connected(dsn)
        try:
            await connection.execute("BEGIN")
            await connection.execute(statement)
        except asyncpg.OutOfMemoryError:
            taken.filling.append(name)
        except (*_REFUSED, *_ENDED):
            pass
        else:
            taken.filling.append(name)
        finally:
            connection.terminate()


async def _connect_all(dsn: str, taken: Taken) -> list[Connection]:
    held: list[Connection] = []
    with contextlib.suppress(asyncpg.TooManyConnectionsError, OSError, TimeoutError):
        while len(held) < _MOST:
            held.append(await _connected(dsn))
    taken.connections = len(held) + 1
    return held


async def _sort_and_tell(held: Sequence[Connection], taken: Taken) -> None:
    """Sort in temporary files, and fill the queue of notifications under an idle listener."""
    if len(held) < 3:
        return
    try:
        await held[0].execute("SET work_mem = '64kB'")
        await held[0].execute(_SORTED, timeout=30)
    except (asyncpg.PostgresError, TimeoutError):
        taken.sorted = False
    else:
        taken.sorted = True
    await held[1].execute("LISTEN all_of_it; BEGIN; SELECT 1")
    text = "x" * _PAYLOAD
    await held[2].execute(
        f"DO $$ BEGIN FOR i IN 1..{_NOTIFICATIONS} LOOP "
        f"PERFORM pg_notify('all_of_it', i || '{text}'); END LOOP; END $$"
    )
