"""A pooler serves miners on a whole pool, is killed, and divides what the chain has paid."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from devstack.chain_view import read_chain
from devstack.farmers import pooler_config, settle
from devstack.ports import free_ports
from devstack.stack import StackConfig, open_stack
from libs.common.names import SERVICES
from pooler.config import PoolerConfig
from trials.shares.kills import judged
from trials.shares.miner import TrialMiner
from trials.shares.server import Server

pytestmark = pytest.mark.e2e

#: Seconds for all of it, and blocks that are to be divided.
PATIENCE, BLOCKS = 300.0, 2
DIVIDED = (
    "SELECT block, rewards, pot FROM blocks WHERE state IN ('final', 'handed_on') AND points > 0"
)
PAID = "SELECT block, sum(amount) FROM parts GROUP BY block"


async def start(config: PoolerConfig, folder: Path, port: int) -> asyncio.subprocess.Process:
    """Start a pooler's process."""
    assert config.tls is not None
    targets = {f"POOLER_{name.upper()}_TARGET": getattr(config.targets, name) for name in SERVICES}
    tls = {f"POOLER_{name}": value for name, value in config.tls.environment.items()}
    settings = {
        "SHARES_DATABASE": str(folder / "shares.db"),
        "SHARES_LOWEST_DIFFICULTY": "16",
        "SHARES_MINERS_PART": "0.5",
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pooler", "--id", str(config.pooler_id), "--json"),
        *("--shares-port", str(port), "--engines", "python", "--threads", "1"),
        # On a slow machine "late" sends at once in blocks as short as these: nobody could mine.
        *("--send", "share"),
        env={**os.environ, **targets, **tls, **settings},
        stdout=(folder / "pooler.out").open("ab"),
        stderr=(folder / "pooler.log").open("ab"),
    )


def rows(place: Path, query: str) -> list[Any]:
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(place)) as database:
        return database.execute(query).fetchall()
    return []


async def until(reached: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_blocks_are_divided_as_the_chain_has_paid_them(tmp_path: Path) -> None:
    config = StackConfig(directory=tmp_path / "stack", ledger_seconds=0.5, block_seconds=16)
    place, port = tmp_path / "shares.db", free_ports(1)[0]
    async with open_stack(config) as stack, aiohttp.ClientSession() as http:
        farmers, _ = await settle(
            stack, pooler_config(stack, 3, 0), lambda _event: None, lambda _text: None
        )
        process = await start(farmers, tmp_path, port)
        miner = TrialMiner(http=http, url=f"http://127.0.0.1:{port}", worker="rig")
        await miner.outlasting(miner.join)
        mining = asyncio.create_task(miner.mine(10))
        try:
            # It is killed in the middle of a block, and goes on with it.
            await until(lambda: len(miner.acknowledged) >= 20)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            process = await start(farmers, tmp_path, port)
            await until(lambda: len(rows(place, DIVIDED)) >= BLOCKS)
        finally:
            mining.cancel()
            await asyncio.gather(mining, return_exceptions=True)
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        chain = await read_chain(stack.rpc_url)
        stack.check()
    earned: Counter[int] = Counter()
    for (_, block), reward in chain.harvests.items():
        earned[block] += reward
    divided = {block: (rewards, pot) for block, rewards, pot in rows(place, DIVIDED)}
    assert divided == {block: (earned[block], earned[block] // 2) for block in divided}
    paid = dict(rows(place, PAID))
    assert all(0 < paid[block] <= pot for block, (_, pot) in divided.items())
    result = await judged(Server(folder=tmp_path), [miner])
    # Parts are half of what a block has paid here, not the stand-in's.
    assert [one for one in result.problems if "from a pot" not in one] == []
    assert result.credited >= result.acknowledged > 0
