"""Whether PostgreSQL counts as there, for the health check."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from libs.common.db import pool
from libs.common.db.pool import open_database
from libs.common.db.tls import DatabaseAddress
from tests.support.database import DatabaseAccess
from tests.support.tcp_relay import open_relay


async def test_an_answer_counts_for_a_moment_only(
    database: DatabaseAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = tmp_path / "queries.sql"
    queries.write_text("-- name: one :one\nSELECT 1 AS one;\n", encoding="utf-8")
    parts = urlsplit(database.dsn("plant"))
    assert parts.port is not None
    async with open_relay(parts.hostname or "", parts.port) as relay:
        login, _, _ = parts.netloc.rpartition("@")
        way = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{relay.port}"))
        async with open_database(
            DatabaseAddress(dsn=way), queries=queries, pool_size=1, timeout_ms=2000, name="test"
        ) as opened:
            monkeypatch.setattr(pool, "_MOMENT", 3600.0)
            await opened.one("one")
            await relay.cut()
            assert await opened.is_up()  # it answered less than an hour ago
            monkeypatch.setattr(pool, "_MOMENT", 0.0)
            assert not await opened.is_up()
            await relay.mend()
            assert await opened.is_up()
