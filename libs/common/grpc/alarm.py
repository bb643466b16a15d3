"""Time limits of calls, as asyncio.timeout sets them, but with one timer of the loop for all calls.

A timer for each call, set and cancelled, costs more than all limits together.
"""

import asyncio
import math

#: A loop's timer may fire this much (s) too early: uvloop counts milliseconds.
_EARLY = 0.001


class Alarm:
    """One timer that ends the calls whose time is over; to be used in one event loop."""

    def __init__(self) -> None:
        self._waiting: set[Limited] = set()
        self._timer: asyncio.TimerHandle | None = None
        #: When the timer fires, on the loop's clock (s).
        self._rings_at = math.inf

    def within(self, seconds: float | None) -> "Limited":
        """Return a context manager that raises TimeoutError in a block that takes longer.

        None sets no limit.
        """
        return Limited(self, seconds)

    def add(self, limited: "Limited") -> None:
        """Begin to measure the time of this block."""
        self._waiting.add(limited)
        if limited.ends_at < self._rings_at:
            self._set(limited.ends_at)

    def remove(self, limited: "Limited") -> None:
        """Forget this block, which is over.

        A timer that was set for the block fires once without effect.
        """
        self._waiting.discard(limited)

    def _set(self, rings_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = rings_at
        self._timer = asyncio.get_running_loop().call_at(rings_at, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings_at = None, math.inf
        now = asyncio.get_running_loop().time() + _EARLY
        for late in [one for one in self._waiting if one.ends_at <= now]:
            self._waiting.discard(late)
            late.end()
        if self._waiting:
            self._set(min(one.ends_at for one in self._waiting))


class Limited:
    """One block with a time limit, in one task. It behaves as asyncio.timeout does."""

    __slots__ = ("_alarm", "_cancelling", "_is_late", "_seconds", "_task", "ends_at")

    def __init__(self, alarm: Alarm, seconds: float | None) -> None:
        self._alarm = alarm
        self._seconds = seconds
        self._is_late = False
        #: On the loop's clock (s), once the block runs.
        self.ends_at = math.inf

    def __enter__(self) -> None:
        if self._seconds is None:
            return
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task has a time")
        self._task = task
        self._cancelling = task.cancelling()
        self.ends_at = asyncio.get_running_loop().time() + self._seconds
        self._alarm.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        self._alarm.remove(self)
        # Somebody else may have cancelled the task as well: then it is cancelled.
        if (
            self._is_late
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def end(self) -> None:
        """End the block: its time is over."""
        self._is_late = True
        self._task.cancel()
