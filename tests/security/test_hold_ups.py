"""Sessions of other roles that hold up everybody are ended; all others stay."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest

from services.wallet.store import QUERIES
from services.wallet.store.hold_ups import MOST_LOCKS, MOST_SECONDS, HoldUps
from tests.support.database import Connection, DatabaseAccess, connect, open_as

#: Each takes a lock of the server's table for its number.
SAVEPOINT = "SAVEPOINT s; INSERT INTO plant.turns (pooler_id) VALUES (gen_random_uuid());"


@asynccontextmanager
async def watch(
    database: DatabaseAccess, *, locks: int = MOST_LOCKS, seconds: float = MOST_SECONDS
) -> AsyncIterator[HoldUps]:
    """The watch as a wallet process has it."""
    async with open_as(database, "wallet", QUERIES, pool_size=1) as opened:
        yield HoldUps(opened, locks=locks, seconds=seconds)


async def opened(stack: AsyncExitStack, dsns: Sequence[str]) -> list[Connection]:
    """Sessions, each with a transaction."""
    sessions = [await stack.enter_async_context(connect(dsn)) for dsn in dsns]
    for session in sessions:
        await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await session.execute("SELECT 1")
    return sessions


async def left(
    database: DatabaseAccess, sessions: Sequence[Connection], *, ended: int
) -> list[int]:
    """Wait until so many sessions have ended; return the places of those that are left."""
    pids = [session.get_server_pid() for session in sessions]
    async with connect(database.admin_dsn) as admin:
        while True:
            rows = await admin.fetch("SELECT pid FROM pg_stat_activity")
            alive = {row["pid"] for row in rows}
            places = [place for place, pid in enumerate(pids) if pid in alive]
            if len(places) <= len(pids) - ended:
                return places
            await asyncio.sleep(0.05)


async def test_a_session_that_fills_the_table_of_locks_is_ended(database: DatabaseAccess) -> None:
    async with AsyncExitStack() as stack:
        hold_ups = await stack.enter_async_context(watch(database))
        thief, honest = await opened(stack, [database.dsn("plant")] * 2)
        await thief.execute(SAVEPOINT * (MOST_LOCKS + 50))
        await honest.execute(SAVEPOINT * 50)
        assert await hold_ups.step() == 1
        assert await left(database, [thief, honest], ended=1) == [1]
        assert await hold_ups.step() == 0


async def test_a_session_with_an_old_snapshot_is_ended(database: DatabaseAccess) -> None:
    """Not one of wallet's own, nor an operator's: a backup may take its time."""
    async with AsyncExitStack() as stack:
        thieves = [database.dsn(name) for name in ("registry", "plant", "work", "harvest")]
        others = [database.dsn("wallet"), database.admin_dsn]
        sessions = await opened(stack, [*thieves, *others])
        young = await stack.enter_async_context(watch(database))
        assert await young.step() == 0
        hold_ups = await stack.enter_async_context(watch(database, seconds=0))
        assert await hold_ups.step() == 4
        assert await left(database, sessions, ended=4) == [4, 5]


@pytest.mark.parametrize("service", ["registry", "plant", "work", "harvest"])
async def test_nobody_but_wallet_ends_sessions(database: DatabaseAccess, service: str) -> None:
    async with connect(database.dsn(service)) as other:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.execute("SELECT wallet.end_hold_ups(0, 0)")
