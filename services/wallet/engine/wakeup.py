"""Wakes whoever waits for "something has changed"."""

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
        """Rings so far: take it before looking at the state, and wait beyond it."""
        return self._count

    def notify(self) -> None:
        """Wakes all who wait."""
        self._count += 1
        event, self._next = self._next, asyncio.Event()
        event.set()

    async def wait(self, seen: int, timeout: float) -> None:
        """Returns when it was rung after `seen`, or after `timeout` seconds (others may ring too:
        another process's changes are found by looking again)."""
        if self._count != seen:
            return
        event = self._next
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await event.wait()


@dataclass(frozen=True, kw_only=True)
class Wakeups:
    """What the engine's steps ring for others."""

    #: There may be something to take up: recorded, free again, or due with a new ledger.
    changes: Wakeup
    #: Operations were settled.
    settled: Wakeup

    def tell_settled(self) -> None:
        """Wake those who wait for results, and those who wait for room."""
        self.settled.notify()
        self.changes.notify()
