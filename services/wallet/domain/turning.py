"""A head that was a lie: when the lower one counts, and whether the network is still the same."""

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
    """Heads below the kept one, one after the other: a lower one counts once it goes on."""

    def __init__(self) -> None:
        self._seen: list[int] = []

    def see(self, ledger: int) -> bool:
        """Notes one; whether several of them have followed each other by now."""
        if self._seen and ledger < self._seen[-1]:
            self._seen.clear()
        if not self._seen or ledger > self._seen[-1]:
            self._seen = [*self._seen, ledger][-_LEDGERS:]
        return len(self._seen) == _LEDGERS

    def forget(self) -> None:
        """The head is not below the kept one."""
        self._seen.clear()


@unique
class Sameness(Enum):
    """Whether the network is the one that the records are of."""

    SAME = "same"
    #: It has what the records have not, in the place of it.
    RESET = "reset"
    #: There is nothing that both remember.
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What records and network both say of the past."""

    #: Of our newest transactions in ledgers that the nodes remember: whether they are there.
    transactions: Sequence[bool]
    #: Entropy by index of blocks as recorded, and as the network has them.
    recorded: Mapping[int, bytes]
    shown: Mapping[int, bytes]
    #: All transactions of ours were taken by ledgers that the network has not reached yet.
    is_all_ahead: bool = False


def sameness(what: Remembered) -> Sameness:
    """One thing that both remember alike shows that the network is the same: a lie may have put
    other records beside it, and a network that begins anew has nothing of the old one."""
    both = [
        what.recorded[index] == what.shown[index] for index in what.recorded if index in what.shown
    ]
    if any(what.transactions) or any(both):
        return Sameness.SAME
    if what.transactions or both or what.is_all_ahead:
        return Sameness.RESET
    return Sameness.UNKNOWN
