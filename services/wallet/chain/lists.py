"""How many JSON-RPC calls one HTTP request to a node may carry.

JSON-RPC 2.0 (section 6) allows a list of calls in one request; stellar-rpc takes one, in a body of
512 KiB at most (its internal/jsonrpc.go and the bridge of creachadair/jrpc2). Providers put other
servers before it: some allow a few calls in a list, some none. So the size is not a setting, it is
found out: it doubles with every list that was answered, falls to a single call when one was not,
and never again reaches a size that was refused.
"""

from collections.abc import Iterator, Sequence

#: Calls of one list at most.
LONGEST = 25
#: Characters of their parameters at most: half of what stellar-rpc takes as a body.
_LARGEST = 256 * 1024


class ListSize:
    """What one node has shown to take."""

    def __init__(self) -> None:
        #: Calls that the next list may have.
        self.now = 1
        self._most = LONGEST

    def answered(self, calls: int) -> None:
        """A list of so many calls was answered: a longer one may be, too."""
        if calls == self.now:
            self.now = min(2 * calls, self._most)

    def unanswered(self) -> None:
        """A list was not answered: singly, at least the others are not touched by one of them."""
        self.now = 1

    def refused(self, calls: int) -> None:
        """The node does not take lists of so many calls."""
        self._most = max(1, calls // 2)
        self.now = min(self.now, self._most)

    def lists(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        """Splits parameters into those of one list each, in their order; none of them is empty."""
        start, characters = 0, 0
        for end, text in enumerate(texts):
            characters += len(text)
            if end > start and (end - start == self.now or characters > _LARGEST):
                yield texts[start:end]
                start, characters = end, len(text)
        if texts:
            yield texts[start:]
