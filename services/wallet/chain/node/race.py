"""The same question to several, one after the other: the next one when an answer is late."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def in_turn(
    starts: Sequence[Callable[[], Awaitable[T]]], *, patience: float
) -> AsyncGenerator["asyncio.Future[T]", None]:
    """The attempts as they end, in their own order of ending.

    The next attempt starts when one has ended and the caller wants more, or when `patience` (s)
    passed without an end. What still runs when the caller has enough is cancelled; so close it
    (`contextlib.aclosing`).
    """
    waiting = list(reversed(starts))
    attempts: list[asyncio.Future[T]] = []
    running: set[asyncio.Future[T]] = set()
    try:
        while waiting or running:
            if waiting:
                attempts.append(asyncio.ensure_future(waiting.pop()()))
                running.add(attempts[-1])
            timeout = patience if waiting else None
            done, running = await asyncio.wait(
                running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                yield attempt
    finally:
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
