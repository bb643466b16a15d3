"""A localnet as a process, for clients that no one here wrote."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

#: Seconds of a block: time to plant and work, and not long to wait for its end.
BLOCK_SECONDS = 6


@dataclass(frozen=True, kw_only=True)
class Localnet:
    """Where it is."""

    rpc_url: str
    friendbot_url: str
    block_seconds: int


@pytest.fixture
async def localnet() -> AsyncIterator[Localnet]:
    """A fresh one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "localnet",
        *("--port", "0", "--ledger-seconds", "0.5", "--block-seconds", str(BLOCK_SECONDS)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        yield Localnet(
            rpc_url=ready["rpc_url"],
            friendbot_url=ready["friendbot_url"],
            block_seconds=BLOCK_SECONDS,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 10)
