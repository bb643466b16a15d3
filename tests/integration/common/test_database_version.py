"""PostgreSQL below 15 is refused in one sentence, wherever a connection is made."""

from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest

from libs.common.db.migrate import migrate
from libs.common.db.pool import open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.db.version import LEAST, DatabaseTooOldError
from services import __main__ as command
from tests.support.database import DatabaseAccess

SENTENCE = "PostgreSQL 14 is too old: this pool needs 15 or newer"


@pytest.fixture
def major(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """The major version that every server claims."""
    claimed: int = request.param
    version = SimpleNamespace(major=claimed)
    monkeypatch.setattr(asyncpg.Connection, "get_server_version", lambda _: version)
    return claimed


@pytest.mark.parametrize("major", [LEAST - 1], indirect=True)
async def test_a_service_refuses_it_and_is_not_up(
    major: int, database: DatabaseAccess, tmp_path: Path
) -> None:
    queries = tmp_path / "queries.sql"
    queries.write_text("-- name: one :one\nSELECT 1 AS one;\n", encoding="utf-8")
    address = DatabaseAddress(dsn=database.dsn("plant"))
    async with open_database(
        address, queries=queries, pool_size=1, timeout_ms=2000, name="test"
    ) as opened:
        with pytest.raises(DatabaseTooOldError, match=SENTENCE) as refused:
            await opened.one("one")
        assert refused.value.reason == "DATABASE_TOO_OLD"
        assert not await opened.is_up()


@pytest.mark.parametrize("major", [LEAST - 1], indirect=True)
async def test_migrations_refuse_it_and_run_nothing(
    major: int, database: DatabaseAccess, tmp_path: Path
) -> None:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE trial.seen ();", encoding="utf-8")
    address = DatabaseAddress(dsn=database.admin_dsn)
    with pytest.raises(DatabaseTooOldError, match=SENTENCE):
        await migrate(address, schema="trial", folder=tmp_path)
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        assert await connection.fetchval("SELECT to_regnamespace('trial')") is None
    finally:
        await connection.close()


@pytest.mark.parametrize("major", [LEAST], indirect=True)
async def test_the_oldest_that_is_enough_is_taken(
    major: int, database: DatabaseAccess, tmp_path: Path
) -> None:
    address = DatabaseAddress(dsn=database.admin_dsn)
    assert await migrate(address, schema="trial", folder=tmp_path) == []


@pytest.mark.parametrize("major", [LEAST - 1], indirect=True)
def test_the_migration_job_says_it_in_one_line(
    major: int,
    database: DatabaseAccess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_ADMIN_URL", database.admin_dsn)
    assert command.main(["migrate"]) == 1
    assert f"migrate: {SENTENCE}" in capsys.readouterr().err.splitlines()
