"""What is equal for all is made once, and shown to all who come within a moment."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from libs.common.singleflight import SingleFlight

T = TypeVar("T")
#: Values that are kept at most; the oldest goes. Pages are large, and nobody makes more of them in
#: the moment that they are kept.
_MOST = 100


class Kept(Generic[T]):
    """Values by key, each kept for some seconds and made by one at a time."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep each value for so many seconds."""
        self._seconds = seconds
        self._clock = clock
        self._values: dict[object, tuple[float, T]] = {}
        self._flights: SingleFlight[T] = SingleFlight()

    async def get(self, key: Any, make: Callable[[], Awaitable[T]]) -> T:
        """Return the value of a key; errors of `make` are raised for all who wait, and not kept."""
        found = self._values.get(key)
        if found is not None and found[0] > self._clock():
            return found[1]
        return await self._flights.run(key, lambda: self._make(key, make))

    async def aclose(self) -> None:
        """Cancel what is being made."""
        await self._flights.aclose()

    async def _make(self, key: Any, make: Callable[[], Awaitable[T]]) -> T:
        value = await make()
        self._values.pop(key, None)
        if len(self._values) >= _MOST:
            self._make_room()
        self._values[key] = (self._clock() + self._seconds, value)
        return value

    def _make_room(self) -> None:
        now = self._clock()
        self._values = {key: one for key, one in self._values.items() if one[0] > now}
        while len(self._values) >= _MOST:
            del self._values[next(iter(self._values))]
