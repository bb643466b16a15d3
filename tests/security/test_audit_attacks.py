"""The audit log: what wallet's role cannot write into it, and what is found of any tampering."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from backup.contents import audit_state
from backup.seal import BackupError
from libs.common.db.pool import Database
from services.wallet.domain.audit import Act, Action, Head
from services.wallet.engine.audit_watch import AuditWatch
from services.wallet.store import QUERIES
from services.wallet.store.custody import CustodyStore
from services.wallet.store.rights import RightsStore
from tests.support.database import DatabaseAccess, connect, open_as
from tests.support.orders import ORDERS
from tests.support.told_wallet import LEDGER, farmer, let_happen, transactions
from trials.security.audit_attacks import BY_ADMIN, BY_WALLET, attack_audit_log

GREATEST = UUID(int=2**128 - 1)
ACT = Act(actor="me", action=Action.ROTATE_KEYS, subject="kek")


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[Database]:
    """The wallet's own connections, to a database in which one of each thing has happened."""
    async with open_as(database, "wallet", QUERIES, pool_size=5) as opened:
        await let_happen(opened)
        yield opened


async def state(database: DatabaseAccess) -> tuple[Head, list[str]]:
    """The log's head, and what is found beside it."""
    async with connect(database.admin_dsn) as admin:
        head, findings = await audit_state(admin)
    return head, findings.words()


async def test_what_wallet_writes_is_sound(pool: Database, database: DatabaseAccess) -> None:
    head, findings = await state(database)
    assert (head.number > 8, findings) == (True, [])


async def test_each_attack_is_refused_or_found(pool: Database, database: DatabaseAccess) -> None:
    before = await state(database)
    found = await attack_audit_log(database.admin_dsn, database.dsn("wallet"))
    assert len(found) == len(BY_WALLET) + len(BY_ADMIN)
    assert [text for one in found for text in one.failures] == []
    assert await state(database) == before
    # And signing goes on.
    _, _, draft = await farmer(pool)
    assert (await transactions(pool).commit_signed([draft], ledger=LEDGER)).recorded


@pytest.mark.parametrize("name", ["gen_random_uuid()", f"'{UUID(int=0)}'", f"'{GREATEST}'"])
async def test_rows_that_wallet_did_not_write_are_found(
    pool: Database, database: DatabaseAccess, name: str
) -> None:
    """With wallet's password and no master key: an account of the pool that is a thief's."""
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(
            "INSERT INTO wallet.wallets (id, kind, address) "  # noqa: S608  (the test's own words)
            f"VALUES ({name}, 'channel', 'GTHIEF')"
        )
        await thief.execute(
            "INSERT INTO wallet.transactions (id, source, sequence, hash, lookup_hash, envelope, "  # noqa: S608
            "max_time, fee_bid, signed_ledger) "
            f"VALUES ({name}, 'GTHIEF', 7, 'h', 'h', 'e', 1, 1, 1)"
        )
    _, findings = await state(database)
    assert len(findings) == 2
    assert findings[0].startswith("the audit log has no record of transaction")
    assert findings[1].startswith("the audit log has no record of wallet")


@pytest.mark.parametrize(
    "row",
    [
        "SELECT 9223372036854775807, now()",
        "SELECT h.number + 1, 'infinity' FROM wallet.audit_head AS h",
        "SELECT h.number + 1, '-infinity' FROM wallet.audit_head AS h",
        "SELECT h.number + 1, '20000-01-01' FROM wallet.audit_head AS h",
        "SELECT -5, now()",
        "SELECT -9223372036854775807, now()",
    ],
)
async def test_a_row_that_cannot_be_is_told_and_breaks_no_check(
    pool: Database, database: DatabaseAccess, row: str
) -> None:
    """Whoever has all rights may drop every bound, too."""
    async with connect(database.admin_dsn) as admin:
        await admin.execute("ALTER DOMAIN wallet.moment DROP CONSTRAINT moment_check")
        for column in ("number", "subject"):
            bound = f"audit_log_{column}_check"
            await admin.execute(f"ALTER TABLE wallet.audit_log DROP CONSTRAINT {bound}")
        await admin.execute("SET session_replication_role = replica")
        await admin.execute(
            "INSERT INTO wallet.audit_log (number, at, actor, action, subject, details, previous, "  # noqa: S608
            "hash) SELECT r.number, r.at::timestamptz, 'x', 'sign', repeat('s', 900000), 'd', "
            f"$1, $1 FROM ({row}) AS r (number, at)",
            bytes(32),
        )
    with pytest.raises(BackupError, match="the audit log is broken: record"):
        await state(database)
    listed = await CustodyStore(pool, ORDERS).latest(before=None, action="sign", limit=100)
    assert len(listed) == 3
    assert max(len(one.subject) for one in listed) <= 4097


async def test_a_number_far_ahead_keeps_no_record_from_being_written(
    pool: Database, database: DatabaseAccess
) -> None:
    async with connect(database.admin_dsn) as admin:
        await admin.execute("SET session_replication_role = replica")
        await admin.execute(
            "INSERT INTO wallet.audit_log SELECT 1000000000000000, at, actor, action, subject, "
            "details, previous, hash FROM wallet.audit_log WHERE number = 1"
        )
    store = CustodyStore(pool, ORDERS)
    before = await store.head()
    await store.record(ACT)
    assert (await store.head()).number == before.number + 1


async def test_no_record_is_too_long_to_be_written(pool: Database) -> None:
    store = CustodyStore(pool, ORDERS)
    long = Act(actor="ü" * 5000, action=Action.ROTATE_KEYS, subject="s" * 9000, details="d" * 9000)
    await store.record(long)
    (kept,) = await store.latest(before=None, action=None, limit=1)
    assert (kept.actor, len(kept.subject), len(kept.details)) == ("ü" * 2048, 4096, 4096)


async def test_two_processes_add_records_one_after_the_other(pool: Database) -> None:
    store = CustodyStore(pool, ORDERS)
    before = await store.head()
    await asyncio.gather(*(store.record(ACT) for _ in range(20)))
    assert (await store.head()).number == before.number + 20


async def test_a_running_wallet_notices_a_log_that_was_written_anew(
    pool: Database, database: DatabaseAccess
) -> None:
    """Everything in the database fits together again: only the head that was told does not."""
    store = CustodyStore(pool, ORDERS)
    watch = AuditWatch(store, RightsStore(pool))
    await store.record(ACT)
    await watch.step()
    await store.record(ACT)
    await watch.step()
    assert not any("written anew" in one for one in watch.warnings)
    async with connect(database.admin_dsn) as admin:
        await admin.execute("SET session_replication_role = replica")
        await admin.execute("DELETE FROM wallet.audit_log WHERE action = 'rotate_keys'")
        await admin.execute(
            "UPDATE wallet.audit_head SET number = a.number, hash = a.hash FROM "
            "(SELECT number, hash FROM wallet.audit_log ORDER BY number DESC LIMIT 1) AS a"
        )
    assert (await state(database))[1] == []
    await watch.step()
    assert any("written anew" in one for one in watch.warnings)
    # It stays told, though the log goes on from there.
    await store.record(ACT)
    await watch.step()
    assert any("written anew" in one for one in watch.warnings)


async def test_moments_that_nobody_can_read_are_refused_everywhere(
    database: DatabaseAccess,
) -> None:
    """Every time in a table that somebody may write is bounded, but for those that nobody reads."""
    unread = {"leased_until", "due_at", "failed_at", "taken_at", "refreshed_at"}
    async with connect(database.admin_dsn) as admin:
        rows = await admin.fetch(
            "SELECT n.nspname || '.' || c.relname AS name, a.attname AS column "
            "FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE a.atttypid = 'timestamptz'::regtype AND c.relkind IN ('r', 'p') "
            "AND n.nspname IN ('wallet', 'registry', 'plant', 'work', 'harvest')"
        )
        for service in ("wallet", "registry", "plant", "work", "harvest"):
            for moment in ("infinity", "-infinity", "20000-01-01"):
                with pytest.raises(asyncpg.CheckViolationError):
                    await admin.execute(f"SELECT '{moment}'::{service}.moment")
            now = await admin.fetchval(f"SELECT now()::{service}.moment")
            assert abs((datetime.now(UTC) - now).total_seconds()) < 60
    # Bounded by a check of its own, as chain.blocks is, whose moments it has.
    bounded = {("wallet.block_openings", "opened_at")}
    assert {
        (row["name"], row["column"])
        for row in rows
        if row["column"] not in unread and not row["name"].endswith(".schema_migrations")
    } == bounded
