"""Answers that callers have not taken: each caller may leave a few at a time, and no more.

When a handler has returned, its answer waits in memory until the caller lets it through: HTTP/2
leaves it to the reader how much it takes. That is in no handler, so no time limit and no count of
calls holds for it. grpc.aio has one task for each call, which is over when the answer is on its
way.
"""

import asyncio
from functools import partial
from typing import Any

from libs.common.errors import ResourceExhaustedError

#: Seconds after which a caller that left too much may come again.
_RETRY = 1.0


class Untaken:
    """The answers that wait for their callers; to be used in one event loop."""

    def __init__(self, *, max_answers: int, max_bytes: int) -> None:
        """Let each caller leave `max_answers` answers, or `max_bytes` of them."""
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._by_caller: dict[str, _Waiting] = {}

    def check(self, identity: str) -> None:
        """Raise ResourceExhaustedError when a caller has to take answers before it asks again."""
        waiting = self._by_caller.get(identity)
        if waiting is None or self._is_little(waiting):
            return
        waiting.forget_what_was_taken()
        if not self._is_little(waiting):
            raise ResourceExhaustedError(
                f"{waiting.answers} answers wait to be taken",
                reason="ANSWERS_NOT_TAKEN",
                metadata={"limit": str(self._max_answers), "limit_bytes": str(self._max_bytes)},
                retry_after=_RETRY,
            )

    def leave(self, identity: str, size: int) -> None:
        """Count the answer (bytes) of the running call until the call is over."""
        task = asyncio.current_task()
        if task is None:
            return
        waiting = self._by_caller.get(identity)
        if waiting is None:
            waiting = self._by_caller[identity] = _Waiting()
        elif not self._is_little(waiting):
            waiting.forget_what_was_taken()
        waiting.add(task, size)

    def _is_little(self, waiting: "_Waiting") -> bool:
        return waiting.answers < self._max_answers and waiting.size < self._max_bytes


class _Waiting:
    """The answers to one caller, some of which may be taken already."""

    __slots__ = ("_unseen", "answers", "size")

    def __init__(self) -> None:
        #: How many there are, and how long (bytes) they are together.
        self.answers = 0
        self.size = 0
        #: Those that nobody looked at so far: their calls' tasks, and how long each is.
        self._unseen: list[tuple[asyncio.Task[Any], int]] = []

    def add(self, task: asyncio.Task[Any], size: int) -> None:
        """Count one more answer."""
        self._unseen.append((task, size))
        self.answers += 1
        self.size += size

    def forget_what_was_taken(self) -> None:
        """Count only calls that are not over; each is looked at once, and then tells its end.

        A caller that leaves a thousand answers and goes on asking must not have them looked at with
        every call.
        """
        unseen, self._unseen = self._unseen, []
        for task, size in unseen:
            if task.done():
                self._took(size)
            else:
                task.add_done_callback(partial(self._is_over, size))

    def _is_over(self, size: int, _task: asyncio.Task[Any]) -> None:
        self._took(size)

    def _took(self, size: int) -> None:
        self.answers -= 1
        self.size -= size
