"""For whom to hash next: those with the fewest zeros, and nobody at the cap.

A hash improves a farmer whose best has z zeros with a chance of 16^-(z+1), whatever was hashed
before, so one hash for those with the fewest zeros is worth 16 for those with one more. Who among
them goes first does not matter; they take turns, so that devices work for different farmers.
Nothing here knows time or threads.
"""

import secrets
from collections import deque
from collections.abc import Callable, Sequence

from miner.engine import Appetite, Slice
from miner.judge import most_head

#: Nonces lie below this: programs of others read them as signed numbers.
NONCES = 2**63


class Schedule:
    """The farmers by their zeros."""

    def __init__(
        self,
        zeros: Sequence[int],
        cap: int,
        *,
        start: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        """Take what each farmer has already (-1: nothing), and the zeros that are enough.

        `start` draws the first nonce of a farmer below a bound: a random one, so that two poolers
        do not repeat each other.
        """
        self._cap = cap
        self._zeros = list(zeros)
        self._next = [start(NONCES) for _ in zeros]
        #: Farmers by zeros, in the order of their turns; one that got better stays behind in its
        #: old place until it is met there.
        self._waiting: dict[int, deque[int]] = {}
        for target, count in enumerate(self._zeros):
            self._wait(target, count)
        #: Farmers below the cap.
        self.open = sum(count < cap for count in self._zeros)

    def zeros(self, target: int) -> int:
        """Return the zeros of a farmer's best nonce, -1 without one."""
        return self._zeros[target]

    def offer(self, target: int, zeros: int) -> bool:
        """Take a nonce that somebody found; tell whether it is better than all before."""
        before = self._zeros[target]
        if zeros <= before:
            return False
        self._zeros[target] = zeros
        self.open -= before < self._cap <= zeros
        self._wait(target, zeros)
        return True

    def take(self, hashes: int, appetite: Appetite) -> list[Slice]:
        """Return slices of at most so many nonces in all, for farmers with the fewest zeros.

        There are none just when every farmer has enough, else one at least. A slice has the nonces
        of an expected find, over the engine's divisor; no nonce is given out twice until 2^63 are.
        """
        level = self._lowest()
        if level is None:
            return []
        size = max(appetite.least, 16 ** (level + 1) // appetite.divisor)
        at_most = most_head(level + 1)
        count = max(1, hashes // size)
        nonces = size if size <= hashes else max(appetite.least, hashes)
        slices = []
        following = self._next
        for target in self._turns(level, min(count, appetite.slices)):
            first = following[target]
            if first + nonces > NONCES:
                first = 0
            following[target] = first + nonces
            slices.append(Slice(target, first, nonces, at_most))
        return slices

    def _turns(self, level: int, count: int) -> list[int]:
        """Return the next farmers at a level, at most so many; their next turn comes last."""
        waiting, zeros = self._waiting[level], self._zeros
        turns: list[int] = []
        for _ in range(len(waiting)):
            target = waiting.popleft()
            if zeros[target] == level:
                turns.append(target)
                if len(turns) == count:
                    break
        waiting.extend(turns)
        return turns

    def _lowest(self) -> int | None:
        """Return the fewest zeros that somebody below the cap has; forget levels that are empty."""
        while self._waiting:
            level = min(self._waiting)
            waiting = self._waiting[level]
            while waiting and self._zeros[waiting[0]] != level:
                waiting.popleft()
            if waiting:
                return level
            del self._waiting[level]
        return None

    def _wait(self, target: int, zeros: int) -> None:
        if zeros < self._cap:
            self._waiting.setdefault(zeros, deque()).append(target)
