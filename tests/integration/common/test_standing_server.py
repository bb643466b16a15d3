"""The server that stands for many runs of the tests: as good as new after each."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest

from services.migrations import role_of
from tests.support.database import DatabaseFactory, connect
from tests.support.standing import VARIABLE, StandingServer, standing_server


class Standing:
    """The process with the server."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.standing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != VARIABLE},
        )

    def answer(self) -> dict[str, str]:
        assert self.process.stdout is not None
        answer: dict[str, str] = json.loads(self.process.stdout.readline())
        return answer

    def clean(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("clean\n")
        self.process.stdin.flush()
        assert self.answer() == {}


@pytest.fixture
def standing() -> Iterator[Standing]:
    running = Standing()
    yield running
    assert running.process.stdin is not None
    running.process.stdin.close()
    assert running.process.wait(60) == 0


async def test_what_a_killed_run_has_left_is_removed(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await asyncio.to_thread(standing.answer)
    monkeypatch.setenv(VARIABLE, told[VARIABLE])
    server = standing_server()
    assert isinstance(server, StandingServer)
    factory = DatabaseFactory(server, server.role_passwords)
    left = factory.create()
    database = await left.__aenter__()
    async with connect(database.dsn("plant")) as plant:
        assert await plant.fetchval("SELECT count(*) FROM plant.batches") == 0
    async with connect(server.admin_dsn) as admin:
        await admin.execute(f'ALTER ROLE "{role_of("plant")}" NOLOGIN')
    await asyncio.to_thread(standing.clean)
    async with factory.create() as another, connect(another.dsn("plant")):
        pass
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(database.admin_dsn)
    await asyncio.to_thread(standing.clean)


def test_no_server_stands_unless_the_environment_names_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert standing_server() is None
