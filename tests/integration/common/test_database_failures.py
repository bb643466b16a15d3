"""What keeps a database from being used: a sentence for callers, the cause once in the log."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import structlog

from libs.common.db import pool
from libs.common.db.failures import (
    DatabaseForeignError,
    DatabaseRefusesError,
    DatabaseUnavailableError,
)
from libs.common.db.pool import Database, open_database
from libs.common.db.schemas import Release
from libs.common.db.tls import DatabaseAddress
from libs.common.errors import UnavailableError
from services.plant.store.store import MIGRATIONS
from tests.support.database import DatabaseAccess, connect

QUERY = "-- name: poolers :one\nSELECT count(*) AS poolers FROM registry.poolers;\n"
AWAY = "database is not available"


@pytest.fixture(autouse=True)
def no_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask PostgreSQL each time."""
    monkeypatch.setattr(pool, "_MOMENT", 0.0)


@asynccontextmanager
async def opened(
    dsn: str, folder: Path, *, release: Release | None = None
) -> AsyncIterator[Database]:
    """Open a database as a service does."""
    queries = folder / "queries.sql"
    queries.write_text(QUERY, encoding="utf-8")
    async with open_database(
        DatabaseAddress(dsn=dsn),
        queries=queries,
        pool_size=1,
        timeout_ms=5000,
        name="test",
        release=release,
    ) as database:
        yield database


def elsewhere(dsn: str, *, host: str | None = None, port: int | None = None, name: str = "") -> str:
    """Return the address with another host, port or database."""
    parts = urlsplit(dsn)
    login = parts.netloc.rpartition("@")[0]
    place = f"{host or parts.hostname}:{port or parts.port}"
    path = f"/{name}" if name else parts.path
    return urlunsplit(parts._replace(netloc=f"{login}@{place}", path=path))


async def fails(database: Database, kind: type[UnavailableError]) -> list[str]:
    """Check that three calls and the health check fail alike; return the causes in the log."""
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(kind) as failed:
                await database.one("poolers")
            assert type(failed.value) is kind
            assert failed.value.retry_after == 1.0
        assert not await database.is_up()
    return [line["cause"] for line in lines if line["event"] == AWAY]


async def test_a_password_that_was_changed(database: DatabaseAccess, tmp_path: Path) -> None:
    dsn = database.dsn("plant")
    wrong = dsn.replace(str(urlsplit(dsn).password), "rotated")
    async with opened(wrong, tmp_path) as found:
        (cause,) = await fails(found, DatabaseRefusesError)
    assert "InvalidPasswordError" in cause
    assert "rotated" not in cause


async def test_a_database_that_there_is_not(database: DatabaseAccess, tmp_path: Path) -> None:
    async with opened(elsewhere(database.dsn("plant"), name="nowhere"), tmp_path) as found:
        (cause,) = await fails(found, DatabaseRefusesError)
    assert 'database "nowhere" does not exist' in cause


async def test_a_role_that_may_not_log_in(database: DatabaseAccess, tmp_path: Path) -> None:
    async with connect(database.admin_dsn) as admin:
        await admin.execute("CREATE ROLE kalepool_stranger PASSWORD 'of-a-test' NOLOGIN")
        try:
            parts = urlsplit(database.dsn("plant"))
            way = f"kalepool_stranger:of-a-test@{parts.hostname}:{parts.port}"
            async with opened(urlunsplit(parts._replace(netloc=way)), tmp_path) as found:
                (cause,) = await fails(found, DatabaseRefusesError)
        finally:
            await admin.execute("DROP ROLE kalepool_stranger")
    assert "not permitted to log in" in cause


async def test_a_port_that_nobody_listens_at(database: DatabaseAccess, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with opened(elsewhere(database.dsn("plant"), port=port), tmp_path) as found:
        (cause,) = await fails(found, DatabaseUnavailableError)
    assert str(port) in cause


async def test_a_host_that_has_no_address(database: DatabaseAccess, tmp_path: Path) -> None:
    dsn = elsewhere(database.dsn("plant"), host="nowhere.invalid")
    async with opened(f"{dsn}?sslmode=disable", tmp_path) as found:
        (cause,) = await fails(found, DatabaseUnavailableError)
    assert cause.startswith("gaierror")


async def test_one_that_was_not_migrated(database: DatabaseAccess, tmp_path: Path) -> None:
    async with connect(database.admin_dsn) as admin:
        await admin.execute("DROP SCHEMA registry CASCADE")
    async with opened(database.dsn("plant"), tmp_path) as found:
        with structlog.testing.capture_logs() as lines:
            with pytest.raises(DatabaseForeignError):
                await found.one("poolers")
            with pytest.raises(DatabaseForeignError):
                await found.one("poolers")
    (cause,) = [line["cause"] for line in lines if line["event"] == AWAY]
    assert "registry.poolers" in cause


async def test_a_right_that_the_role_does_not_have(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    async with connect(database.admin_dsn) as admin:
        await admin.execute("REVOKE SELECT ON registry.poolers FROM kalepool_plant")
    async with opened(database.dsn("plant"), tmp_path) as found:
        with pytest.raises(DatabaseForeignError):
            await found.one("poolers")


@pytest.mark.parametrize(("more", "is_up"), [(0, True), (1, False)])
async def test_the_schema_of_a_release(
    database: DatabaseAccess, tmp_path: Path, more: int, is_up: bool
) -> None:
    here = Release.of("plant", MIGRATIONS)
    release = Release(schema="plant", number=here.number + more)
    async with opened(database.dsn("plant"), tmp_path, release=release) as found:
        with structlog.testing.capture_logs() as lines:
            assert await found.is_up() is is_up
            assert await found.is_up() is is_up
    causes = [line["cause"] for line in lines if line["event"] == AWAY]
    words = f"schema plant is at migration {here.number}, and this release needs {release.number}"
    assert causes == ([] if is_up else [f"{words}: run the migrations"])


async def test_a_schema_of_the_next_release(database: DatabaseAccess, tmp_path: Path) -> None:
    release = Release.of("plant", MIGRATIONS)
    async with connect(database.admin_dsn) as admin:
        await admin.execute(
            "INSERT INTO plant.schema_migrations (number, name, checksum) VALUES ($1, 'n', 'c')",
            release.number + 1,
        )
    async with opened(database.dsn("plant"), tmp_path, release=release) as found:
        assert await found.is_up()


async def test_a_standby_takes_no_work(database: DatabaseAccess, tmp_path: Path) -> None:
    async with connect(database.admin_dsn) as admin:
        await admin.execute(
            f'ALTER DATABASE "{database.name}" SET default_transaction_read_only = on'
        )
    release = Release.of("plant", MIGRATIONS)
    async with opened(database.dsn("plant"), tmp_path, release=release) as found:
        with structlog.testing.capture_logs() as lines:
            assert not await found.is_up()
    assert [line["cause"] for line in lines if line["event"] == AWAY] == [
        "this PostgreSQL takes no changes: it is a standby"
    ]


async def test_it_is_told_again_after_it_was_mended(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    async with (
        connect(database.admin_dsn) as admin,
        opened(database.dsn("plant"), tmp_path) as found,
    ):
        with structlog.testing.capture_logs() as lines:
            for _ in range(2):
                await admin.execute("REVOKE SELECT ON registry.poolers FROM kalepool_plant")
                with pytest.raises(DatabaseForeignError):
                    await found.one("poolers")
                await admin.execute("GRANT SELECT ON registry.poolers TO kalepool_plant")
                await found.one("poolers")
    again = "database is available again"
    assert [line["event"] for line in lines] == [AWAY, again, AWAY, again]
