"""How fast ledgers close, as seen of late."""

import itertools
from collections import deque

from services.wallet.domain.chain_facts import LedgerHead

#: Looks that are remembered.
_LOOKS = 20
#: Looks before an answer is given: two do not tell a rule.
_ENOUGH = 4


class Pace:
    """The shortest time between two ledgers among the last looks."""

    def __init__(self) -> None:
        self._looks: deque[LedgerHead] = deque(maxlen=_LOOKS)

    def seconds(self, head: LedgerHead) -> int:
        """Notes a newer ledger; whole seconds, rounded down, or 0 while it is not known."""
        if self._looks and head.sequence < self._looks[-1].sequence:
            self._looks.clear()  # another chain
        if not self._looks or head.sequence > self._looks[-1].sequence:
            self._looks.append(head)
        if len(self._looks) < _ENOUGH:
            return 0
        looks = list(self._looks)
        return min(
            (later.close_time - earlier.close_time) // (later.sequence - earlier.sequence)
            for earlier, later in itertools.pairwise(looks)
        )
