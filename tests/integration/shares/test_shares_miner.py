"""The miner's own command joins a door, and its shares are credited."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.share_world import ADDRESS, ShareWorld, open_share_world


async def until(reached: Callable[[], bool], process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(120):
        while not reached():
            assert process.returncode is None
            await asyncio.sleep(0.05)


@asynccontextmanager
async def mining(world: ShareWorld, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Mine for a door by the command while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "miner", "join", f"http://127.0.0.1:{world.port}"),
        *("--address", ADDRESS, "--agree", "--worker", "rig-1", "--engines", "python"),
        *("--threads", "1", "--credential-file", str(folder / "credential")),
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


async def test_the_miners_command_joins_and_mines_block_after_block(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, farmers=3) as world, mining(world, tmp_path) as process:

        def points() -> int:
            running = world.shares.rounds.running
            return 0 if running is None else running.points

        await until(lambda: points() > 0, process)
        (worker,) = world.shares.workers.all()
        assert worker.row.name == "rig-1"
        first = world.block
        await world.next_block()
        await until(lambda: points() > 0, process)
        assert first.best.keys() <= {target.farmer_id for target in first.targets}
        assert worker.counts.total() > 0
        unsound = {code for code in worker.counts if code.value in {"BAD_TOKEN", "OUT_OF_RANGE"}}
        assert unsound == set()
    async with open_share_world(tmp_path, index=102) as world, mining(world, tmp_path) as process:
        # It has joined once: the credential is kept.
        running = world.shares.rounds
        await until(lambda: running.running is not None and running.running.points > 0, process)
        assert await world.shares.store.count_miners() == 1
