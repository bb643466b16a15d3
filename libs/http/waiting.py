"""The events of a stream that one reader has not taken yet."""

import asyncio
from typing import Generic, TypeVar

from libs.common.errors import PoolError
from libs.http.sse import Event

EventT = TypeVar("EventT", bound=Event)


class WaitingEvents(Generic[EventT]):
    """An EventReader whose events wait in order (libs/http/sse.py).

    Which events wait, and which give way to others, is the subclass's.
    """

    def __init__(self) -> None:
        #: The events by the subclass's numbers; the first one is taken first.
        self._waiting: dict[int, EventT] = {}
        self._wake = asyncio.Event()
        self._error: PoolError | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Tell whether there is nobody who reads."""
        return self._is_closed

    def close(self) -> None:
        """End the reader: there is nobody who reads."""
        self._is_closed = True
        self._wake.set()

    def fail(self, error: PoolError) -> None:
        """Raise an error once the waiting events were taken."""
        self._error = error
        self._wake.set()

    async def next(self, seconds: float) -> EventT | None:
        """Take the next event; None when there is none within the time, or nobody reads."""
        if not self._has_something:
            try:
                async with asyncio.timeout(seconds):
                    await self._something()
            except TimeoutError:
                return None
        if self._is_closed:
            return None
        if self._waiting:
            return self._waiting.pop(next(iter(self._waiting)))
        if self._error is not None:
            raise self._error
        return None

    async def _something(self) -> None:
        """Wait until there is an event, an error, or nobody who reads."""
        while not self._has_something:
            self._wake.clear()
            await self._wake.wait()

    @property
    def _has_something(self) -> bool:
        return bool(self._waiting) or self._error is not None or self._is_closed
