"""The longest turn of the event loop.

While the loop does one thing, nothing else of the process goes on.
"""

import asyncio

from libs.common.metrics import METER

_longest = METER.create_gauge(
    "kalepool.event_loop.longest_turn",
    unit="s",
    description="Longest time of the last interval in which the event loop did one thing only.",
)
#: Seconds between two looks. Every turn that is longer is seen, and told as up to this much shorter
#: than it was; some shorter turns are missed. Looks take CPU even when a service has nothing to do:
#: with ten times as many they take a quarter of it.
_EVERY = 0.5
#: Seconds of an interval.
_INTERVAL = 10.0


class TurnWatch:
    """A task that measures how late the event loop wakes it."""

    def __init__(self) -> None:
        #: Seconds of the longest turn in the last interval that ended.
        self.longest = 0.0
        #: Seconds of the longest turn since then.
        self.current = 0.0
        #: The next look.
        self._timer: asyncio.TimerHandle

    async def run(self, *, every: float = _EVERY, interval: float = _INTERVAL) -> None:
        """Measure until the task is cancelled."""
        # A timer of the loop's own: to wake a task as often takes a few times the CPU.
        loop = asyncio.get_running_loop()
        end = loop.time() + interval

        def look(due: float) -> None:
            nonlocal end
            now = loop.time()
            self.current = max(self.current, now - due)
            if now >= end:
                self.longest, self.current, end = self.current, 0.0, now + interval
                _longest.set(self.longest)
            self._timer = loop.call_later(every, look, now + every)

        self._timer = loop.call_later(every, look, loop.time() + every)
        try:
            await asyncio.Event().wait()
        finally:
            self._timer.cancel()
