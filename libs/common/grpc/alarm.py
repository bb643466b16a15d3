"""Ends calls when their time is over: asyncio.timeout, with one timer of the loop for all calls.

A timer for each call, set and taken back, costs more than all limits together.
"""

import asyncio
import math

#: A loop's timer may ring this much (s) too early: uvloop counts milliseconds.
_EARLY = 0.001


class Alarm:
    """Rings for the call whose time is over first; to be used in one event loop."""

    def __init__(self) -> None:
        self._waiting: set[Limited] = set()
        self._timer: asyncio.TimerHandle | None = None
        #: When the timer rings, on the loop's clock (s).
        self._rings_at = math.inf

    def within(self, seconds: float | None) -> "Limited":
        """A context manager that raises TimeoutError in a block that takes longer; None: never."""
        return Limited(self, seconds)

    def add(self, limited: "Limited") -> None:
        """From now on this one's time runs."""
        self._waiting.add(limited)
        if limited.ends_at < self._rings_at:
            self._set(limited.ends_at)

    def remove(self, limited: "Limited") -> None:
        """This one is over; a timer that was set for it rings for nothing, once."""
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
    """One block with a time, in one task. It behaves as asyncio.timeout does."""

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
        """Its time is over."""
        self._is_late = True
        self._task.cancel()
