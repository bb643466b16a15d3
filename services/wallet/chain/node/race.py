"""One question to several nodes, one after the other: the next node when an answer is late."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def in_turn(
    starts: Sequence[Callable[[], Awaitable[T]]], *, patience: float
) -> AsyncGenerator["asyncio.Future[T]", None]:
    """Run the attempts and yield them in the order in which they end.

    The next attempt starts when one has ended and the caller wants more, or when `patience` (s)
    passed without an end. Attempts that still run when the caller has enough are cancelled; so
    close this generator (`contextlib.aclosing`).
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
