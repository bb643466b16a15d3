"""The miner's own command joins a door; its shares are credited, also when the door starts anew."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.other_programs import KALE_MINER, OTHER_MINER
from tests.support.share_world import ADDRESS, ShareWorld, open_share_world
from trials.shares.server import Server

#: Programs that search for the command: a kale-miner in Python, and the real one.
PROGRAMS = [
    pytest.param(f"{OTHER_MINER} {{index}} {{entropy_base64}} {{nonce}} {{zeros}} {{address}}"),
    pytest.param(
        f"kale-miner={KALE_MINER}",
        marks=pytest.mark.skipif(not KALE_MINER, reason="KALE_MINER names no kale-miner"),
    ),
]


async def until(reached: Callable[[], bool], process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(120):
        while not reached():
            assert process.returncode is None
            await asyncio.sleep(0.05)


@asynccontextmanager
async def mining(
    port: int, folder: Path, *options: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Mine for a door by the command while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "miner", "join", f"http://127.0.0.1:{port}"),
        *("--address", ADDRESS, "--agree", "--worker", "rig-1", "--threads", "1", "--json"),
        *("--credential-file", str(folder / "credential"), *options),
        env=dict(os.environ),
        stdout=(folder / "miner.out").open("ab"),
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def said(folder: Path) -> list[Mapping[str, Any]]:
    """Return the events that the command has told so far."""
    lines = (folder / "miner.out").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def points_of(world: ShareWorld) -> int:
    """Return the points of the running block."""
    running = world.shares.rounds.running
    return 0 if running is None else running.points


async def test_the_miners_command_joins_and_mines_block_after_block(tmp_path: Path) -> None:
    # The door's clock stands still, so that no difficulty follows a machine that gets slow.
    options = ("--engines", "python", "--difficulty", "4096")
    async with (
        open_share_world(tmp_path, farmers=3) as world,
        mining(world.port, tmp_path, *options) as process,
    ):
        await until(lambda: points_of(world) > 0, process)
        (worker,) = world.shares.workers.all()
        assert worker.row.name == "rig-1"
        first = world.block
        await world.next_block()
        await until(lambda: points_of(world) > 0, process)
        assert first.best.keys() <= {target.farmer_id for target in first.targets}
        assert worker.counts.total() > 0
        unsound = {code for code in worker.counts if code.value in {"BAD_TOKEN", "OUT_OF_RANGE"}}
        assert unsound == set()
    async with (
        open_share_world(tmp_path, index=102) as world,
        mining(world.port, tmp_path, *options) as process,
    ):
        # It has joined once: the credential is kept.
        await until(lambda: points_of(world) > 0, process)
        assert await world.shares.store.count_miners() == 1


async def test_it_goes_on_when_the_pooler_is_killed_and_starts_again(tmp_path: Path) -> None:
    server = Server(folder=tmp_path)

    def credited() -> int:
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(server.database)) as base:
            return int(base.execute("SELECT count(*) FROM shares").fetchone()[0])
        return 0

    await server.start()
    options = ("--engines", "python", "--difficulty", "20000")
    async with mining(server.port, tmp_path, *options) as process:
        await until(lambda: credited() >= 5, process)
        await server.kill()
        before = credited()
        # While it is away, shares wait.
        await until(lambda: any("shares wait" in str(one) for one in said(tmp_path)), process)
        await server.start()
        await until(lambda: credited() >= before + 20, process)
        assert process.returncode is None
    told = said(tmp_path)
    assert [one["event"] for one in told].count("joined") == 1
    accepted = [one["shares"].get("ACCEPTED", 0) for one in told if one["event"] == "progress"]
    assert max(accepted, default=0) <= credited()
    lost = [one for one in told if one["event"] == "progress" and "LOST" in one["shares"]]
    assert lost == []
    await server.stop()


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_program_that_knows_no_pool_earns_shares(program: str, tmp_path: Path) -> None:
    options = ("--engines", "programs", "--program", program, "--difficulty", "4096")
    async with (
        open_share_world(tmp_path, farmers=3) as world,
        mining(world.port, tmp_path, *options) as process,
    ):

        def accepted() -> int:
            return sum(
                count
                for worker in world.shares.workers.all()
                for code, count in worker.counts.items()
                if code.value == "ACCEPTED"
            )

        await until(lambda: accepted() >= 3, process)
        (worker,) = world.shares.workers.all()
        assert {code.value for code in worker.counts} == {"ACCEPTED"}
        # The program has found them, not the spare engine that would take its place.
        assert not any("is set aside" in str(one) for one in said(tmp_path))
