"""Answers that callers have not taken: each caller may leave a few at a time, and no more.

When a handler has returned, its answer waits in memory until the caller lets it through: HTTP/2
leaves it to the reader how much it takes. That is in no handler, so no time limit and no count of
calls holds for it. grpc.aio has one task for each call, which is over when the answer is on its
way.
"""

import asyncio
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
                f"{len(waiting.answers)} answers wait to be taken",
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
        waiting.answers[task] = size
        waiting.size += size

    def _is_little(self, waiting: "_Waiting") -> bool:
        return len(waiting.answers) < self._max_answers and waiting.size < self._max_bytes


class _Waiting:
    """The answers to one caller, some of which may be taken already."""

    __slots__ = ("answers", "size")

    def __init__(self) -> None:
        #: How long (bytes) each answer is, by the task of its call.
        self.answers: dict[asyncio.Task[Any], int] = {}
        #: How long they are together.
        self.size = 0

    def forget_what_was_taken(self) -> None:
        """Count only calls that are not over."""
        self.answers = {task: size for task, size in self.answers.items() if not task.done()}
        self.size = sum(self.answers.values())
