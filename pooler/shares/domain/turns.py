"""Which farmer a job is for, and which nonces: the farmers with the fewest zeros, in turns."""

import secrets
from collections import deque
from collections.abc import Callable

from pooler.shares.domain.jobs import NONCES

#: Nonces of a farmer begin somewhere below this, so that there is room for all jobs of a block.
_STARTS = NONCES // 2


class Turns:
    """The order of a block's farmers, by their position."""

    def __init__(self, farmers: int, zeros_of: Callable[[int], int], *, cap: int) -> None:
        """Take the number of farmers, their best zeros as they are when asked, and the bound.

        A farmer with `cap` zeros or more needs no nonce any more.
        """
        self._zeros_of = zeros_of
        self._cap = cap
        #: Farmers by the zeros that they had when they were last looked at.
        self._waiting: dict[int, deque[int]] = {-1: deque(range(farmers))} if farmers else {}
        self._starts = [secrets.randbelow(_STARTS) for _ in range(farmers)]

    def next(self) -> tuple[int, int] | None:
        """Return the next farmer's position and zeros; None when no farmer needs a nonce."""
        while self._waiting:
            zeros = min(self._waiting)
            position = self._pop(zeros)
            now = self._zeros_of(position)
            if now >= self._cap:
                continue
            self._waiting.setdefault(now, deque()).append(position)
            if now == zeros:
                return position, now
        return None

    def nonces(self, position: int, count: int) -> int:
        """Take nonces of a farmer that no other job has; return the first of them."""
        first = self._starts[position]
        if first + count > NONCES:
            first = secrets.randbelow(_STARTS)
        self._starts[position] = first + count
        return first

    def _pop(self, zeros: int) -> int:
        waiting = self._waiting[zeros]
        position = waiting.popleft()
        if not waiting:
            del self._waiting[zeros]
        return position
