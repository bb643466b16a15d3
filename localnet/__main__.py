"""The command `python -m localnet [--port 8000 --ledger-seconds 5 --block-seconds 300 ...]`."""

import asyncio
import errno
import json
import logging
import resource
import signal
import sys

from pydantic_settings import CliApp

from localnet.app import open_localnet
from localnet.config import LocalnetSettings


async def serve(settings: LocalnetSettings) -> None:
    """Run until SIGTERM, SIGINT, or the SIGHUP of a terminal that is closed."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
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


def _allow_connections() -> None:
    """Raise the soft limit of open files, usually 1,024, to the hard one, where there is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    _allow_connections()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        asyncio.run(serve(CliApp.run(LocalnetSettings)))
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
            raise
        sys.exit(f"cannot listen at --host and --port: {error}")
