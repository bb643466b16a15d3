"""Work that outlives its caller: one task per key, which any number of callers join."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """At most one task per key; a caller's cancellation never cancels the task.

    A durable batch that was accepted must not stop because the client went away (GRPC.md).
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    async def run(self, key: Hashable, start: Callable[[], Awaitable[T]]) -> T:
        """Join the task of `key`, or start it; return its result or raise its exception."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(self._call(start))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def running(self) -> frozenset[Hashable]:
        """Return the keys whose task has not ended."""
        return frozenset(self._tasks)

    async def aclose(self) -> None:
        """Cancel the tasks that still run and wait for their end.

        Durable records stay, so that the work can go on from them.
        """
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _call(start: Callable[[], Awaitable[T]]) -> T:
        return await start()

    def _forget(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen: a caller that has gone must not make asyncio warn
