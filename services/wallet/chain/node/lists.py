"""The number of JSON-RPC calls that one HTTP request to a node may carry.

JSON-RPC 2.0 (section 6) allows a list of calls in one request. stellar-rpc takes one list, in a
body of 512 KiB at most (its internal/jsonrpc.go and the bridge of creachadair/jrpc2). Providers put
other servers before stellar-rpc: some allow a few calls in a list, some allow none, and they say so
in many ways, or not at all. So the size is not a setting but is found out.
"""

from collections.abc import Iterator, Sequence

from libs.common.clock import Clock

#: Calls in one list at most.
LONGEST = 25
#: Characters of a list's parameters at most: half of what stellar-rpc takes as a body.
_LARGEST = 256 * 1024
#: Seconds until a length that failed is tried again; twice as many after each time in vain.
FIRST_PAUSE = 60.0
LAST_PAUSE = 3600.0


class ListSize:
    """The list size that one node has shown to take.

    Lists are as long as those that were answered. Now and then one list is twice as long, as a
    trial.
    """

    def __init__(self, clock: Clock) -> None:
        #: Calls in the longest list that was answered; a single call needs no proof.
        self.sure = 1
        self._clock = clock
        #: Calls in a list at most, until it is time to try a longer list again.
        self._most = LONGEST
        self._again = float("-inf")
        self._pause = FIRST_PAUSE / 2

    def answered(self, calls: int) -> None:
        """Record that every call of a list of `calls` calls was answered."""
        self.sure = max(self.sure, min(calls, self._most))

    def failed(self, calls: int) -> None:
        """Record that a list of `calls` calls was refused, or that some of them were not answered.

        Whether the length was the reason is not known. A single call that fails says nothing of the
        length.
        """
        if calls < 2:
            return
        now = self._clock.monotonic()
        if now >= self._again:
            self._pause = min(2 * self._pause, LAST_PAUSE)
        self._again = now + self._pause
        self._most = min(self._most, calls // 2)
        self.sure = min(self.sure, self._most)

    def parts(self, texts: Sequence[str]) -> Iterator[slice]:
        """Return the slices that cut parameters into lists; the first list may be the trial."""
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
