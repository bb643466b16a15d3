"""Migrations: each once and whole, whatever the database is set to."""

from pathlib import Path

import asyncpg
import pytest

from libs.common.db.migrate import migrate
from libs.common.db.migration_files import MigrationError
from libs.common.db.tls import DatabaseAddress
from tests.support.database import DatabaseAccess, connect

FIRST, SECOND = "0001_first.sql", "0002_second.sql"
SEEN = "CREATE TABLE trial.seen AS SELECT current_setting('transaction_isolation') AS isolation;"


async def run(database: DatabaseAccess, folder: Path) -> list[str]:
    return await migrate(DatabaseAddress(dsn=database.admin_dsn), schema="trial", folder=folder)


async def test_who_waited_for_a_lock_sees_what_was_committed(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    (tmp_path / FIRST).write_text(SEEN, encoding="utf-8")
    async with connect(database.admin_dsn) as admin:
        await admin.execute(
            f'ALTER DATABASE "{database.name}" '
            "SET default_transaction_isolation = 'repeatable read'"
        )
        assert await run(database, tmp_path) == [FIRST]
        assert await admin.fetchval("SELECT isolation FROM trial.seen") == "read committed"


async def test_one_that_fails_leaves_nothing_and_those_before_it_stay(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    (tmp_path / FIRST).write_text(SEEN, encoding="utf-8")
    (tmp_path / SECOND).write_text("DROP TABLE trial.seen; SELECT 1 / 0;", encoding="utf-8")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await run(database, tmp_path)
    (tmp_path / SECOND).write_text("DROP TABLE trial.seen;", encoding="utf-8")
    assert await run(database, tmp_path) == [SECOND]
    assert await run(database, tmp_path) == []


async def test_what_has_run_is_not_changed(database: DatabaseAccess, tmp_path: Path) -> None:
    (tmp_path / FIRST).write_text(SEEN, encoding="utf-8")
    await run(database, tmp_path)
    (tmp_path / FIRST).write_text(f"{SEEN} ", encoding="utf-8")
    with pytest.raises(MigrationError, match="changed after it ran"):
        await run(database, tmp_path)


async def test_sessions_of_roles_compile_nothing(database: DatabaseAccess) -> None:
    """Debian's PostgreSQL would compile statements for longer than they take."""
    async with connect(database.admin_dsn) as admin:
        rows = await admin.fetch("SELECT rolconfig FROM pg_roles WHERE rolname LIKE 'kalepool%'")
    assert len(rows) >= 5
    assert all("jit=off" in row["rolconfig"] for row in rows)
