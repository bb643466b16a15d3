"""The end of a service's calls when it stops: none is told anything but to come again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from libs.common.errors import UnavailableError

#: Seconds that calls which are ended get to say so.
_LAST_WORDS = 1.0


class StoppingError(UnavailableError):
    """The service stops; the same call succeeds at another process, or a moment later."""

    default_reason = "STOPPING"

    def __init__(self) -> None:
        """Say that the caller may come again in a second."""
        super().__init__("this service is stopping; what was accepted goes on", retry_after=1.0)


class Draining:
    """The calls in progress in one process."""

    def __init__(self) -> None:
        #: Each call's task, with whether it is a stream without an end.
        self._calls: dict[asyncio.Task[object], bool] = {}
        self._ended: set[asyncio.Task[object]] = set()
        self._is_stopping = False

    @contextmanager
    def taking(self, *, is_endless: bool) -> Iterator[None]:
        """Take a call; raise StoppingError when it comes too late, or lasts too long."""
        if self._is_stopping:
            raise StoppingError
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task has a call")
        self._calls[task] = is_endless
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise StoppingError from None
        finally:
            self._calls.pop(task, None)
            self._ended.discard(task)

    async def end(self, grace: float) -> None:
        """Take no more calls; return when those in progress have ended.

        Streams without an end are ended at once, the others after `grace` (s).
        """
        self._is_stopping = True
        self._cancel([task for task, is_endless in self._calls.items() if is_endless])
        await self._wait(grace)
        self._cancel(list(self._calls))
        await self._wait(_LAST_WORDS)

    def _cancel(self, tasks: list[asyncio.Task[object]]) -> None:
        for task in tasks:
            self._ended.add(task)
            task.cancel()

    async def _wait(self, seconds: float) -> None:
        if self._calls:
            await asyncio.wait(list(self._calls), timeout=seconds)
