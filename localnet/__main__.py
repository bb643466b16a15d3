"""The command `python -m localnet [--port 8000 --ledger-seconds 5 --block-seconds 300 ...]`."""

import asyncio
import json
import logging
import signal
import sys

from pydantic_settings import CliApp

from localnet.app import open_localnet
from localnet.config import LocalnetSettings


async def serve(settings: LocalnetSettings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with open_localnet(settings) as running:
        ready = {
            "event": "ready",
            "rpc_url": running.url,
            "node_urls": running.urls,
            "friendbot_url": running.rpc.friendbot_url,
            "passphrase": settings.passphrase,
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await asyncio.wait(
            [asyncio.create_task(stop.wait()), *running.loops],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for loop_task in running.loops:
            if loop_task.done():
                loop_task.result()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(serve(CliApp.run(LocalnetSettings)))
