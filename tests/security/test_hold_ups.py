"""Sessions of other roles that hold up everybody are ended; all others stay."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest
from structlog.testing import capture_logs

from libs.common.names import role_of
from services.wallet.store import QUERIES
from services.wallet.store.hold_ups import HoldUps
from services.wallet.store.rights import RightsStore
from tests.support.database import Connection, DatabaseAccess, connect, open_as
from trials.security.thefts.holding import LIMITS

#: Each takes a lock of the server's table for its number.
SAVEPOINT = "SAVEPOINT s; INSERT INTO plant.turns (pooler_id) VALUES (gen_random_uuid());"
#: Locks of a session that is ended.
TOO_MANY = 550
OTHERS = ("registry", "plant", "work", "harvest")


@asynccontextmanager
async def watch(database: DatabaseAccess) -> AsyncIterator[HoldUps]:
    """The watch as a wallet process has it."""
    async with open_as(database, "wallet", QUERIES, pool_size=1) as opened:
        yield HoldUps(opened)


async def limit(database: DatabaseAccess, *, seconds: float) -> None:
    """Have transactions count as too old after so many seconds, as only the owner can."""
    async with connect(database.admin_dsn) as admin:
        await admin.execute(LIMITS.format(seconds=seconds))


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
        await thief.execute(SAVEPOINT * TOO_MANY)
        await honest.execute(SAVEPOINT * 50)
        assert await hold_ups.step() == 1
        assert await left(database, [thief, honest], ended=1) == [1]
        assert await hold_ups.step() == 0


async def test_a_session_with_an_old_snapshot_is_ended(database: DatabaseAccess) -> None:
    """Not one of wallet's own, nor an operator's: a backup may take its time."""
    async with AsyncExitStack() as stack:
        thieves = [database.dsn(name) for name in OTHERS]
        others = [database.dsn("wallet"), database.admin_dsn]
        sessions = await opened(stack, [*thieves, *others])
        hold_ups = await stack.enter_async_context(watch(database))
        assert await hold_ups.step() == 0
        await limit(database, seconds=0)
        assert await hold_ups.step() == 4
        assert await left(database, sessions, ended=4) == [4, 5]


@pytest.mark.parametrize("service", OTHERS)
async def test_nobody_but_wallet_ends_sessions(database: DatabaseAccess, service: str) -> None:
    async with connect(database.dsn(service)) as other:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.execute("SELECT wallet.end_hold_ups()")


async def test_wallets_role_ends_no_session_that_holds_up_nobody(database: DatabaseAccess) -> None:
    """What is too much is not the word of who calls the function."""
    async with AsyncExitStack() as stack:
        sessions = await opened(stack, [database.dsn(name) for name in OTHERS])
        async with connect(database.dsn("wallet")) as wallet:
            assert await wallet.fetch("SELECT pid FROM wallet.end_hold_ups()") == []
            with pytest.raises(asyncpg.UndefinedFunctionError):
                await wallet.execute("SELECT wallet.end_hold_ups(0, 0::double precision)")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await wallet.execute(LIMITS.format(seconds=0))
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await wallet.execute(
                    "SELECT pg_terminate_backend($1)", sessions[0].get_server_pid()
                )
        assert await left(database, sessions, ended=0) == [0, 1, 2, 3]


@asynccontextmanager
async def migrator(database: DatabaseAccess, *rights: str) -> AsyncIterator[str]:
    """A role of no superuser that has run the migrations; yield its name."""
    name = f"migrator_{secrets.token_hex(4)}"
    async with connect(database.admin_dsn) as admin:
        await admin.execute(f"CREATE ROLE {name}")
        try:
            for right in rights:
                await admin.execute(f"GRANT {right} TO {name}")
            await admin.execute(f"GRANT USAGE ON SCHEMA wallet TO {name}")
            await admin.execute(f"ALTER FUNCTION wallet.end_hold_ups() OWNER TO {name}")
            yield name
        finally:
            await admin.execute("ALTER FUNCTION wallet.end_hold_ups() OWNER TO CURRENT_USER")
            await admin.execute(f"DROP OWNED BY {name}")
            await admin.execute(f"DROP ROLE {name}")


async def test_what_cannot_be_ended_for_lack_of_rights_is_told(database: DatabaseAccess) -> None:
    """Whoever ran the migrations may end sessions of plant alone."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(migrator(database, role_of("plant")))
        plant, work = await opened(stack, [database.dsn(name) for name in ("plant", "work")])
        hold_ups = await stack.enter_async_context(watch(database))
        await work.execute(SAVEPOINT.replace("plant", "work") * TOO_MANY)
        await plant.execute(SAVEPOINT * TOO_MANY)
        with capture_logs() as lines:
            # One that stays keeps no other one from its end, and is told once.
            assert await hold_ups.step() == 1
            assert await left(database, [plant, work], ended=1) == [1]
            assert await hold_ups.step() == 0
        assert sorted((line["event"], line["role"]) for line in lines) == [
            ("session ended", role_of("plant")),
            ("session holds up others, and stays", role_of("work")),
        ]


ENDS, SEES = "sessions that hold up everybody are not ended", "the age of transactions is not seen"


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ([], [ENDS, SEES]),
        (["pg_signal_backend"], [SEES]),
        (["pg_signal_backend", "pg_read_all_stats"], []),
        ([role_of(name) for name in OTHERS], []),
    ],
    ids=["nothing", "to signal", "to signal and to see", "the roles' own"],
)
async def test_wallets_status_tells_what_the_watch_may_not(
    database: DatabaseAccess, rights: list[str], missing: list[str]
) -> None:
    roles = ", ".join(sorted(role_of(name) for name in OTHERS))
    async with (
        migrator(database, *rights),
        open_as(database, "wallet", QUERIES, pool_size=1) as opened,
    ):
        found = await RightsStore(opened).findings()
    told = [words for words in found if words.startswith((ENDS, SEES))]
    assert told == [f"{words}: {roles}" for words in missing]
