"""A kept head that was a lie: when a lower one counts, and whether the network is the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, unique

#: Ledgers that a head may lie below the one that was kept: nodes differ by so many.
TOLERATED = 2
#: Ledgers that have to be seen below the kept head before it is turned back.
_LEDGERS = 3
#: Seconds for which no process may have seen the kept head any more.
UNSEEN_FOR = 15.0


class Lower:
    """Heads below the kept one, in order: a lower head counts once it goes on."""

    def __init__(self) -> None:
        self._seen: list[int] = []

    def see(self, ledger: int) -> bool:
        """Note a lower head and tell whether several of them have followed each other by now."""
        if self._seen and ledger < self._seen[-1]:
            self._seen.clear()
        if not self._seen or ledger > self._seen[-1]:
            self._seen = [*self._seen, ledger][-_LEDGERS:]
        return len(self._seen) == _LEDGERS

    def forget(self) -> None:
        """Forget the lower heads, as the head is not below the kept one."""
        self._seen.clear()


@unique
class Sameness(Enum):
    """Identity of the network with the one that the records describe."""

    SAME = "same"
    #: It has other facts in the place of the recorded ones.
    RESET = "reset"
    #: Records and network have no fact in common.
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """Facts of the past in the records and on the network."""

    #: For each of our newest transactions in ledgers that the nodes remember: whether it is there.
    transactions: Sequence[bool]
    #: Entropy by index of blocks as recorded, and as the network has them.
    recorded: Mapping[int, bytes]
    shown: Mapping[int, bytes]
    #: All transactions of ours were taken by ledgers that the network has not reached yet.
    is_all_ahead: bool = False


def sameness(what: Remembered) -> Sameness:
    """Judge whether the network is the one that the records describe.

    One fact that both remember alike shows that the network is the same: a lie may have put other
    records beside it, and a network that begins anew has nothing of the old one.
    """
    both = [
        what.recorded[index] == what.shown[index] for index in what.recorded if index in what.shown
    ]
    if any(what.transactions) or any(both):
        return Sameness.SAME
    if what.transactions or both or what.is_all_ahead:
        return Sameness.RESET
    return Sameness.UNKNOWN
