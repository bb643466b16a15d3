"""Where a process stands in the past of each table, which it looks through a part at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.wallet.store.order_rows import Walk


@dataclass(kw_only=True)
class Round:
    """The round through the past of one table, which begins anew at its end."""

    #: The walk from where the next look goes on.
    walk: Walk
    #: Forged rows of this round that are not kept one by one, and of the round before.
    beyond: int = 0
    beyond_before: int = 0

    @property
    def most_beyond(self) -> int:
        """Return how many there are, as far as is known."""
        return max(self.beyond, self.beyond_before)

    def turn(self, start: Walk) -> None:
        """Begin the next round."""
        self.walk = start
        self.beyond_before, self.beyond = self.beyond, 0

    def forget(self) -> None:
        """Forget how many forged rows there are: all rows were looked at by other means."""
        self.beyond_before, self.beyond = 0, 0


@dataclass(kw_only=True)
class Passage:
    """One walk through all rows after a key was replaced, to bring each row under the new key."""

    #: The number of the new key.
    key: int
    #: Whether no process wrote under an older key any more when the walk began.
    is_last: bool
    #: The walks that are not over.
    walks: Sequence[Walk]
    #: Whether each row that was met is under the new key now.
    is_whole: bool = True

    @property
    def is_over(self) -> bool:
        """Tell whether all rows were met."""
        return not self.walks

    @property
    def is_proof(self) -> bool:
        """Tell whether no genuine row can be under an older key any more."""
        return self.is_over and self.is_last and self.is_whole
