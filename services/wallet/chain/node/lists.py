"""How many JSON-RPC calls one HTTP request to a node may carry.

JSON-RPC 2.0 (section 6) allows a list of calls in one request; stellar-rpc takes one, in a body of
512 KiB at most (its internal/jsonrpc.go and the bridge of creachadair/jrpc2). Providers put other
servers before it: some allow a few calls in a list, some none, and they say so in many ways, or not
at all. So the size is not a setting, it is found out.
"""

from collections.abc import Iterator, Sequence

from libs.common.clock import Clock

#: Calls of one list at most.
LONGEST = 25
#: Characters of their parameters at most: half of what stellar-rpc takes as a body.
_LARGEST = 256 * 1024
#: Seconds until a length that failed is tried again; twice as many after each time in vain.
FIRST_PAUSE = 60.0
LAST_PAUSE = 3600.0


class ListSize:
    """What one node has shown to take: lists as long as were answered, and now and then one that is
    twice as long."""

    def __init__(self, clock: Clock) -> None:
        #: Calls of a list that was answered; a single one needs no proof.
        self.sure = 1
        self._clock = clock
        #: No list is longer, until it is time to try again.
        self._most = LONGEST
        self._again = float("-inf")
        self._pause = FIRST_PAUSE / 2

    def answered(self, calls: int) -> None:
        """Every call of a list of so many was answered."""
        self.sure = max(self.sure, min(calls, self._most))

    def failed(self, calls: int) -> None:
        """A list of so many calls was refused, or some of it was not answered. Whether that was for
        its length is not known; a single call that fails says nothing of it."""
        if calls < 2:
            return
        now = self._clock.monotonic()
        if now >= self._again:
            self._pause = min(2 * self._pause, LAST_PAUSE)
        self._again = now + self._pause
        self._most = min(self._most, calls // 2)
        self.sure = min(self.sure, self._most)

    def parts(self, texts: Sequence[str]) -> Iterator[slice]:
        """Where to cut parameters into those of one list each; the first one may be the trial."""
        size, start, characters = self._trial(), 0, 0
        for end, text in enumerate(texts):
            characters += len(text)
            if end > start and (end - start == size or characters > _LARGEST):
                yield slice(start, end)
                size, start, characters = self.sure, end, len(text)
        if texts:
            yield slice(start, len(texts))

    def _trial(self) -> int:
        if self._clock.monotonic() >= self._again:
            self._most = LONGEST
        return min(2 * self.sure, self._most)
