"""The end of a command: what it has started is stopped, however the command is asked to end."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

#: Exit status of a command that was interrupted, as shells have it.
INTERRUPTED = 130


def run_to_end(work: Coroutine[Any, Any, int]) -> int:
    """Run a command; Ctrl-C and SIGTERM cancel it, and everything is stopped first."""

    async def guarded() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return INTERRUPTED

    return asyncio.run(guarded())
