"""A localnet as a process, for clients that reach it over the network."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

#: Seconds of a block: enough time to plant and work, and a short wait for the block's end.
BLOCK_SECONDS = 6


@dataclass(frozen=True, kw_only=True)
class Localnet:
    """The addresses of a localnet."""

    #: URL of the JSON-RPC.
    rpc_url: str
    #: URL that makes accounts.
    friendbot_url: str
    #: Seconds of a KALE block.
    block_seconds: int


@asynccontextmanager
async def localnet_process(*, block_seconds: int = BLOCK_SECONDS) -> AsyncIterator[Localnet]:
    """Run a fresh localnet on a free port, with two ledgers a second."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "localnet",
        *("--port", "0", "--ledger-seconds", "0.5", "--block-seconds", str(block_seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        yield Localnet(
            rpc_url=ready["rpc_url"],
            friendbot_url=ready["friendbot_url"],
            block_seconds=block_seconds,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 10)
