"""Not a theft, but a stop: what is everybody's and one role holds."""

import asyncio
from contextlib import AsyncExitStack, suppress

import asyncpg

from trials.security.thefts.kinds import Connection, Outcome
from trials.security.thefts.pool import PATIENCE, Pool

#: Connections, and locks that each of them takes: twice what a session may hold.
_CONNECTIONS, _LOCKS, _AT_ONCE = 20, 1000, 40
#: Seconds for which a role goes on.
_SECONDS = 10.0
#: Seconds after which a transaction is too old here; 300 elsewhere.
_OLD = 3
_SAVEPOINT = "SAVEPOINT s; INSERT INTO {table} (pooler_id) VALUES (gen_random_uuid());"
#: Makes transactions count as too old after so many seconds, as only the owner can.
LIMITS = """
CREATE OR REPLACE FUNCTION wallet.hold_up_limits()
RETURNS TABLE (most_locks int, most_seconds double precision)
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
SELECT 500, {seconds}::double precision;
END;
"""
_ENDED = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


async def _dsn(pool: Pool, thief: Connection) -> tuple[str, str]:
    """Return the service whose role a thief has, and its connection string."""
    role = await thief.fetchval("SELECT current_user")
    service = str(role).removeprefix("kalepool_")
    return service, pool.stack.service_dsn(service)


async def savepoints_without_an_end(pool: Pool, thief: Connection) -> Outcome:
    """Take a lock of the server's table by each, and go on for a while."""
    service, dsn = await _dsn(pool, thief)
    statement = _SAVEPOINT.format(table=f"{service}.turns") * _AT_ONCE
    until = asyncio.get_running_loop().time() + _SECONDS
    most = unpaid = 0

    async def fill() -> None:
        while asyncio.get_running_loop().time() < until:
            with suppress(*_ENDED):
                one = await asyncpg.connect(dsn, statement_cache_size=0, timeout=5)
                try:
                    await one.execute("BEGIN")
                    for _ in range(_LOCKS // _AT_ONCE):
                        await one.execute(statement)
                    await asyncio.sleep(_SECONDS)
                finally:
                    one.terminate()
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(fill()) for _ in range(_CONNECTIONS)]
    while asyncio.get_running_loop().time() < until:
        count = await pool.admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT fastpath")
        most = max(most, count)
        unpaid += await pool.delay() is None
    await asyncio.gather(*tasks)
    return Outcome(
        got=[f"{unpaid} honest payouts that were not made"] if unpaid else [],
        stopped=f"at most {most:,} locks at a time",
    )


async def an_old_snapshot(pool: Pool, thief: Connection) -> Outcome:
    """Keep what everybody changes by a transaction that has no end."""
    _, dsn = await _dsn(pool, thief)
    await pool.admin.execute(LIMITS.format(seconds=_OLD))
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(pool.admin.execute, LIMITS.format(seconds=300))
        one = await asyncpg.connect(dsn)
        cleanup.callback(one.terminate)
        await one.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        pid, until = one.get_server_pid(), asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < until:
            if not await pool.admin.fetchval(
                "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)", pid
            ):
                return Outcome(stopped=f"wallet ended it, after {_OLD} s here")
            await asyncio.sleep(0.2)
    return Outcome(got=["a snapshot for as long as it likes"])


async def the_end_of_honest_sessions(pool: Pool, thief: Connection) -> Outcome:
    """Try to end a session of another service that holds up nobody."""
    async with AsyncExitStack() as cleanup:
        one = await asyncpg.connect(pool.stack.service_dsn("registry"))
        cleanup.callback(one.terminate)
        await one.execute("BEGIN; SELECT 1")
        ended = await thief.fetch("SELECT pid FROM wallet.end_hold_ups()")
        await thief.fetch("SELECT pg_terminate_backend($1)", one.get_server_pid())
    return Outcome(got=["the end of an honest session"] if ended else [])
