"""Progress of what takes longer than two seconds: on standard error, beside the output."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TextIO

from libs.common.errors import PoolError

#: Seconds after which somebody who waits is told something.
QUIET_SECONDS = 2.0
#: Seconds between two updates of the line on a terminal.
_REFRESH = 0.5
#: Seconds between two looks at how far the work has come.
_LOOK = 2.0
#: Seconds after which a line is written where no terminal is; later ones come each last pause.
_LINES_AT = (QUIET_SECONDS, 10.0, 30.0, 60.0)
_CLEAR = "\r\x1b[K"

#: Gives how far the work has come, in words.
Look = Callable[[], Awaitable[str]]


class Progress:
    """What is waited for: a line that changes on a terminal, a line now and then elsewhere."""

    def __init__(
        self, *, stream: TextIO | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        """Take the stream of the lines: standard error by default."""
        self._stream = stream
        self._clock = clock
        self._is_running = False
        self._what = ""
        self._found = ""
        self._is_shown = False

    def say(self, found: str) -> None:
        """Take how far the work has come, in words."""
        self._found = found

    @asynccontextmanager
    async def during(self, what: str, look: Look | None = None) -> AsyncIterator[None]:
        """Show progress of `what` while the block runs, if that takes longer than two seconds.

        `look` is asked now and then how far the work has come. Inside of another such block only
        the outer one shows anything.
        """
        if self._is_running:
            yield
            return
        self._is_running, self._what, self._found = True, what, ""
        tasks = [asyncio.create_task(self._show())]
        if look is not None:
            tasks.append(asyncio.create_task(self._look(look)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.clear()
            self._is_running = False

    def clear(self) -> None:
        """Take the line off a terminal, so that something else can be written there."""
        if self._is_shown:
            self._target.write(_CLEAR)
            self._target.flush()
            self._is_shown = False

    @property
    def _target(self) -> TextIO:
        return sys.stderr if self._stream is None else self._stream

    async def _show(self) -> None:
        began, lines = self._clock(), 0
        on_terminal = self._target.isatty()
        await asyncio.sleep(QUIET_SECONDS)
        while True:
            text = self._text(self._clock() - began)
            if on_terminal:
                self._target.write(f"{_CLEAR}kalepool: {text}")
                self._target.flush()
                self._is_shown = True
                await asyncio.sleep(_REFRESH)
                continue
            self._target.write(f"kalepool: {text}\n")
            self._target.flush()
            await asyncio.sleep(_pause(lines))
            lines += 1

    def _text(self, seconds: float) -> str:
        return f"{self._what}: {seconds:.0f} s" + (f", {self._found}" if self._found else "")

    async def _look(self, look: Look) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            # Only the work itself says that it has failed.
            with suppress(PoolError):
                self.say(await look())


def _pause(lines: int) -> float:
    """Return the seconds from one line to the next: fewer lines the longer it takes."""
    if lines + 1 < len(_LINES_AT):
        return _LINES_AT[lines + 1] - _LINES_AT[lines]
    return _LINES_AT[-1]
