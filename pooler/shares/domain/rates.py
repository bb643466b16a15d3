"""A worker's hash rate over several windows, each with its standard error.

Points since a moment are a sum whose expectation is the hashes done, whatever the difficulty was
meanwhile, and whose variance is about the sum of the squared points.
"""

from collections import deque
from dataclasses import dataclass
from math import sqrt

#: Windows by name: seconds, and seconds of a slot.
WINDOWS = {"5m": (300, 15), "1h": (3600, 180), "24h": (86_400, 3600)}
#: Shares that are added before the error is taken. Without them, the error of a window that by
#: chance has few shares is too small just where the rate is too low: in the simulation of
#: tests/unit/shares/test_rates.py, 98.9 % of all workers were within three errors of their rate
#: over five minutes; with them it is 99.7 %, and 73 % are within one.
_PRIOR = 4


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A rate with its error."""

    #: Hashes a second, and their standard error.
    rate: float
    error: float
    #: Seconds that they are from.
    seconds: float
    #: Shares that they are from.
    shares: int


@dataclass(kw_only=True, slots=True)
class _Slot:
    """The shares of some seconds."""

    number: int
    points: int = 0
    squares: float = 0.0
    shares: int = 0


class _Window:
    """The slots of the last seconds; those without a share are not kept."""

    __slots__ = ("_seconds", "_slot", "_slots")

    def __init__(self, seconds: int, slot: int) -> None:
        self._seconds = seconds
        self._slot = slot
        self._slots: deque[_Slot] = deque()

    def add(self, at: float, points: int, squares: float, shares: int) -> None:
        """Count shares of a moment; moments do not go back by more than a slot."""
        number = int(at // self._slot)
        if not self._slots or self._slots[-1].number < number:
            self._slots.append(_Slot(number=number))
            self._forget(at)
        slot = self._slots[-1]
        slot.points += points
        slot.squares += squares
        slot.shares += shares

    def rate(self, at: float, since: float, difficulty: int) -> Rate | None:
        """Return the rate from the window's first whole slot, or from `since`, to `at`."""
        self._forget(at)
        begins = max(since, self._first(at) * self._slot)
        seconds = at - begins
        if seconds <= 0:
            return None
        points = sum(slot.points for slot in self._slots)
        squares = sum(slot.squares for slot in self._slots)
        shares = sum(slot.shares for slot in self._slots)
        # The points of a typical share: the larger ones decide what the error is.
        typical = squares / points if points else difficulty
        error = sqrt(squares + _PRIOR * typical**2)
        return Rate(rate=points / seconds, error=error / seconds, seconds=seconds, shares=shares)

    def _first(self, at: float) -> int:
        """Return the number of the first slot that lies in the window as a whole."""
        return -int(-(at - self._seconds) // self._slot)

    def _forget(self, at: float) -> None:
        first = self._first(at)
        while self._slots and self._slots[0].number < first:
            self._slots.popleft()


class Meter:
    """The rates of one worker."""

    __slots__ = ("_since", "_windows")

    def __init__(self, since: float) -> None:
        """Begin at the moment (s) from which on the worker had a job."""
        self._since = since
        self._windows = {name: _Window(*sizes) for name, sizes in WINDOWS.items()}

    def add(self, at: float, points: int) -> None:
        """Count one share."""
        for window in self._windows.values():
            window.add(at, points, float(points) ** 2, 1)

    def restore(self, at: float, points: int, squares: float, shares: int) -> None:
        """Count shares of a run before, the oldest first."""
        for window in self._windows.values():
            window.add(at, points, squares, shares)

    def rates(self, at: float, difficulty: int) -> dict[str, Rate]:
        """Return the rates by window; a window that has just begun is left out."""
        found = {
            name: window.rate(at, self._since, difficulty) for name, window in self._windows.items()
        }
        return {name: rate for name, rate in found.items() if rate is not None}
