"""What a service's database role can take, and that nothing which others need is among it."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from devstack.stack import StackConfig, open_stack
from libs.common.db.migration_files import read_migrations
from libs.common.db.rights import findings
from libs.common.db.tls import DatabaseAddress
from libs.common.names import SERVICES, role_of
from services.migrations import ROLE_CONNECTIONS, migrate_all, migrations_of, restrict_all
from tests.support.database import DatabaseAccess, DatabaseFactory, connect
from tests.support.pool_world import PoolWorld
from trials.security.fuzz import register
from trials.security.held_up import OTHERS, hold_up
from trials.security.insiders import taking_everything
from trials.security.thefts.names import grasp, is_superuser

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = (*SERVICES, "chain")


def owner(schema: str) -> str:
    """The service whose role writes a schema."""
    return "wallet" if schema == "chain" else schema


def test_nothing_of_ours_takes_an_advisory_lock() -> None:
    """Any role can hold those, whatever it may read or write."""
    files = [
        path
        for folder in ("services", "libs", "backup", "client", "cli", "pooler")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".sql", ".py"} and path.name != "rights.py"
    ]
    assert len(files) > 200
    assert [path for path in files if "advisory" in path.read_text(encoding="utf-8")] == []


async def test_no_foreign_key_locks_rows_of_another_role(database: DatabaseAccess) -> None:
    async with connect(database.admin_dsn) as admin:
        rows = await admin.fetch(
            "SELECT c.conname AS name, f.nspname AS from_schema, t.nspname AS to_schema "
            "FROM pg_constraint AS c "
            "JOIN pg_class AS a ON a.oid = c.conrelid "
            "JOIN pg_namespace AS f ON f.oid = a.relnamespace "
            "JOIN pg_class AS b ON b.oid = c.confrelid "
            "JOIN pg_namespace AS t ON t.oid = b.relnamespace "
            "WHERE c.contype = 'f' AND f.nspname = ANY($1::text[])",
            SCHEMAS,
        )
    assert len(rows) > 10
    across = [r["name"] for r in rows if owner(r["from_schema"]) != owner(r["to_schema"])]
    assert across == []


async def test_nobody_calls_what_runs_with_the_rights_of_the_owner(
    database: DatabaseAccess,
) -> None:
    """But for a partition of one's events, one's notices, and the end of who holds wallet up.

    What is old is deleted by these functions alone; none of them takes a row to delete or write.
    """
    async with connect(database.admin_dsn) as admin:
        rows = await admin.fetch(
            "SELECT r.rolname AS role, n.nspname || '.' || p.proname AS name "
            "FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace "
            "CROSS JOIN pg_roles AS r WHERE p.prosecdef AND n.nspname = ANY($1::text[]) "
            "AND r.rolname LIKE 'kalepool\\_%' AND has_function_privilege(r.oid, p.oid, 'EXECUTE')",
            SCHEMAS,
        )
    assert {(row["role"], row["name"]) for row in rows} == {
        (role_of("wallet"), "wallet.end_hold_ups"),
        *(
            (role_of(service), f"{service}.ensure_partition")
            for service in ("plant", "work", "harvest")
        ),
        # They book what wallet and poolers tell, and change nothing that is booked.
        *(
            (role_of("harvest"), f"harvest.{name}")
            for name in (
                *("book_transfers", "book_denials", "book_losses", "book_deposits"),
                *("book_payments", "tell_miners", "divide_pot", "close_day"),
            )
        ),
        (role_of("wallet"), "wallet.forget_notices"),
        (role_of("wallet"), "wallet.forget_challenges"),
        # Of an account that is closed, a day after it was said to be at the earliest.
        (role_of("wallet"), "wallet.destroy_key"),
        (role_of("wallet"), "wallet.tell_effective_addresses"),
        (role_of("registry"), "registry.forget_notifications"),
    }


async def test_what_runs_with_the_rights_of_the_owner_finds_no_name_of_its_callers(
    database: DatabaseAccess,
) -> None:
    """Unless it is named, a session's own schema (pg_temp) is looked through before all others.

    Functions in SQL have the names that they had when they were made; all others look for them.
    """
    async with connect(database.admin_dsn) as admin:
        rows = await admin.fetch(
            "SELECT n.nspname || '.' || p.proname AS name, p.prosecdef, p.proconfig "
            "FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace "
            "JOIN pg_language AS l ON l.oid = p.prolang "
            "WHERE n.nspname = ANY($1::text[]) AND (p.prosecdef OR p.prosqlbody IS NULL)",
            SCHEMAS,
        )
    assert len([row for row in rows if row["prosecdef"]]) > 20
    path = "search_path=pg_catalog, pg_temp"
    assert [row["name"] for row in rows if path not in (row["proconfig"] or ())] == []


@pytest.mark.parametrize("service", SERVICES)
async def test_no_role_gets_the_owners_rights_by_types_and_views_of_its_own(
    database: DatabaseAccess, service: str
) -> None:
    """Where nothing was restricted, everybody may make those in a session of its own."""
    async with connect(database.dsn(service)) as thief, connect(database.admin_dsn) as admin:
        try:
            await grasp(thief, service)
        finally:
            # Roles belong to the server, which other tests use, too.
            got = await is_superuser(admin, role_of(service))
    assert not got


@pytest.mark.parametrize("service", OTHERS)
async def test_no_lock_of_another_role_is_in_anybodys_way(
    database: DatabaseAccess, service: str
) -> None:
    """Each table of everybody else can be read and written while a role holds all that it can."""
    async with connect(database.admin_dsn) as admin:
        pooler = await PoolWorld(admin).pooler()
        person = await PoolWorld(admin).farmer(pooler)
    async with (
        taking_everything(service, database.dsn(service)) as taken,
        connect(database.admin_dsn) as admin,
    ):
        assert taken.in_the_way == []
        assert taken.connections <= ROLE_CONNECTIONS
        assert sum(taken.others.values()) > 50, "locks that anybody may have were not taken"
        await admin.execute("SET lock_timeout = '2s'")
        tables = await admin.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname = ANY($1::text[]) AND schemaname <> $2",
            SCHEMAS,
            service,
        )
        for row in tables:
            async with admin.transaction():
                await admin.execute(f"LOCK TABLE {row['name']} IN SHARE ROW EXCLUSIVE MODE")
        # And what the role writes itself is read by others.
        for row in await admin.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname = $1",
            service,
        ):
            await admin.execute(f"SELECT 1 FROM {row['name']} LIMIT 1")  # noqa: S608  (quoted)
        async with admin.transaction():
            await admin.execute(
                "SELECT 1 FROM wallet.wallets WHERE id = $1 FOR UPDATE", person.wallet_id
            )
        if service != "registry":
            async with admin.transaction():
                await admin.execute(
                    "SELECT 1 FROM registry.farmers WHERE id = $1 FOR UPDATE", person.farmer_id
                )


async def test_what_public_does_not_need_is_taken_away_and_told_where_it_was_not(
    database: DatabaseAccess,
) -> None:
    roles = [role_of(service) for service in SERVICES]
    async with connect(database.dsn("wallet")) as wallet:
        before = await findings(wallet, roles)
        assert {
            "anybody may take advisory locks",
            "anybody may make large objects",
            "anybody may make temporary tables",
            "any role of the server may connect",
        } <= set(before)
        assert await restrict_all(DatabaseAddress(dsn=database.admin_dsn)) == []
        assert await findings(wallet, roles) == []
        for statement in (
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
            "SELECT lo_create(0)",
            "CREATE TEMPORARY TABLE mine (id int)",
            "CREATE TABLE public.mine (id int)",
            "SET temp_file_limit = -1",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await wallet.execute(statement)
    # Roles belong to the server, which other tests use, too.
    async with connect(database.admin_dsn) as admin:
        for role in roles:
            await admin.execute(f'ALTER ROLE "{role}" RESET temp_file_limit')


async def test_who_does_not_own_the_database_is_told_what_is_left(
    database: DatabaseAccess,
) -> None:
    left = await restrict_all(DatabaseAddress(dsn=database.dsn("plant")))
    assert "anybody may take advisory locks" in left
    assert "anybody may make temporary tables" in left


async def test_a_role_has_so_many_connections_and_no_more(database: DatabaseAccess) -> None:
    async with taking_everything("plant", database.dsn("plant")) as taken:
        assert taken.connections == ROLE_CONNECTIONS
        with pytest.raises(asyncpg.TooManyConnectionsError):
            async with connect(database.dsn("plant")):
                pass
        async with connect(database.dsn("wallet")) as wallet:
            assert await wallet.fetchval("SELECT 1") == 1


async def test_two_migration_jobs_at_once_run_each_file_once(
    database_factory: DatabaseFactory,
) -> None:
    async with database_factory.create(template="template1") as access:
        admin = DatabaseAddress(dsn=access.admin_dsn)
        ran = await asyncio.gather(*(migrate_all(admin) for _ in range(3)))
    for service in SERVICES:
        names = [migration.name for migration in read_migrations(migrations_of(service))]
        assert sorted(name for one in ran for name in one[service]) == names


@pytest.mark.e2e
async def test_a_pause_and_a_registration_wait_for_nothing_that_another_role_takes(
    tmp_path: Path,
) -> None:
    config = StackConfig(
        directory=tmp_path / "stack",
        ledger_seconds=0.5,
        block_seconds=20,
        services=("wallet", "registry"),
        environment={"wallet": {"AUDIT_HEAD_INTERVAL_MS": "1000"}},
    )
    async with open_stack(config) as stack:
        (pooler, *_) = await register(stack)
        found = await hold_up(stack, pooler, lambda _: None)
    assert [text for one in found for text in one.failures] == []
    # What was not restricted is told; what was is not.
    assert [bool(one.warnings) for one in found] == [False] * len(OTHERS) + [True]
