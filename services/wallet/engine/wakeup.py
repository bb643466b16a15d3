"""Wakeups for tasks that wait for "something has changed"."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass


class Wakeup:
    """A counter of changes that can be waited for; no ring between a look and a wait is lost."""

    def __init__(self) -> None:
        self._count = 0
        self._next = asyncio.Event()

    @property
    def count(self) -> int:
        """Return the number of rings so far.

        Take the number before looking at the state, and wait for a ring beyond it.
        """
        return self._count

    def notify(self) -> None:
        """Wake all tasks that wait."""
        self._count += 1
        event, self._next = self._next, asyncio.Event()
        event.set()

    async def wait(self, seen: int, timeout: float) -> None:
        """Return when the wakeup was rung after `seen`, or after `timeout` seconds.

        The timeout is there because other processes may change something too: their changes are
        found by looking again.
        """
        if self._count != seen:
            return
        event = self._next
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await event.wait()


@dataclass(frozen=True, kw_only=True)
class Wakeups:
    """The wakeups that the engine's steps ring for others."""

    #: Something may be taken up: it was recorded, is free again, or is due with a new ledger.
    changes: Wakeup
    #: Operations were settled.
    settled: Wakeup

    def tell_settled(self) -> None:
        """Wake the tasks that wait for results, and the tasks that wait for room."""
        self.settled.notify()
        self.changes.notify()
