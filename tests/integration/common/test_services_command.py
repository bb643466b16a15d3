"""python -m services migrate [restrict]: what it prints, and how it ends."""

import asyncio
import json

import pytest

from libs.common.names import SERVICES, role_of
from services.__main__ import LEFT, main
from tests.support.database import DatabaseAccess, DatabaseFactory, connect


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(main, list(arguments))


async def connections(access: DatabaseAccess) -> set[int]:
    async with connect(access.admin_dsn) as admin:
        rows = await admin.fetch(
            "SELECT rolconnlimit FROM pg_roles WHERE rolname = ANY($1::text[])",
            [role_of(service) for service in SERVICES],
        )
    return {row["rolconnlimit"] for row in rows}


async def test_both_steps_in_one_command(
    database_factory: DatabaseFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with database_factory.create(template="template1") as access:
        monkeypatch.setenv("DATABASE_ADMIN_URL", access.admin_dsn)
        monkeypatch.setenv("DATABASE_ROLE_CONNECTIONS", "61")
        assert await run("migrate", "restrict") == 0
        migrated, restricted = map(json.loads, capsys.readouterr().out.splitlines())
        assert set(migrated["ran"]) == set(SERVICES)
        assert restricted == {"event": "restricted", "left": []}
        assert await connections(access) == {61}
        monkeypatch.setenv("DATABASE_ROLE_CONNECTIONS", "60")
        assert await run("migrate") == 0
        assert await connections(access) == {60}
        async with connect(access.admin_dsn) as admin:
            for service in SERVICES:
                await admin.execute(f"ALTER ROLE {role_of(service)} RESET temp_file_limit")


async def test_what_is_left_ends_it_with_a_status_of_its_own(
    database: DatabaseAccess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_ADMIN_URL", database.dsn("harvest"))
    assert await run("restrict") == LEFT
    left = json.loads(capsys.readouterr().out)["left"]
    assert "anybody may take advisory locks" in left


@pytest.mark.parametrize("arguments", [[], ["restrict", "migrate"], ["serve"]])
async def test_other_words_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(*arguments) == 2
    assert "usage" in capsys.readouterr().err
