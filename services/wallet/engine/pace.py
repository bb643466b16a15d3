"""The speed at which ledgers have closed of late."""

import itertools
from collections import deque

from services.wallet.domain.chain_facts import LedgerHead

#: Ledger heads that are remembered.
_LOOKS = 20
#: Ledger heads needed before a time is given: two do not show a rule.
_ENOUGH = 4


class Pace:
    """The shortest time between two ledgers among the last heads that were noted."""

    def __init__(self) -> None:
        self._looks: deque[LedgerHead] = deque(maxlen=_LOOKS)

    def seconds(self, head: LedgerHead) -> int:
        """Note a newer ledger and return the shortest time between two ledgers.

        The result is in whole seconds, rounded down; it is 0 while the time is not known.
        """
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
