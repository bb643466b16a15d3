"""The end of a command: what it has started is stopped, however the command is asked to end."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from devstack.folder import BusyError

#: Exit status of a command that was interrupted, as shells have it.
INTERRUPTED = 130
#: Exit status of a command that another run of it keeps out.
BUSY = 2
#: Signals by which a command is asked to end; SIGHUP when its terminal is closed.
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def run_to_end(work: Coroutine[Any, Any, int]) -> int:
    """Run a command to its exit status; a signal that asks it to end cancels it.

    All that it has started is stopped first: a second signal does not cancel that. A folder that
    another run uses ends the command with a sentence, and status 2.
    """

    async def guarded() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            for number in ASKING:
                loop.add_signal_handler(number, _is_ending)
            task.cancel()

        for number in ASKING:
            loop.add_signal_handler(number, cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return INTERRUPTED
        except BusyError as error:
            sys.stderr.write(f"{error}\n")
            return BUSY

    return asyncio.run(guarded())


def _is_ending() -> None:
    """Leave a further signal alone: what was started is being stopped."""
