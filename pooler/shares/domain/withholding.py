"""The test for withheld nonces: of the shares with z zeros or more, one in 16 has z + 1 or more.

Who sends the poor nonces only, and keeps the good ones, has too few of these.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, lgamma, log

#: Shares of a level before it is tested.
FEWEST = 200
#: Chance for an honest worker, below which a test fails.
SIGNIFICANCE = 1e-6
#: Part of the shares of a level that reach the next one.
_PART = 1 / 16
#: A level is tested again when it has half as many shares more: a test for each share would find
#: chance alone many times as often as it says.
_GROWTH = 1.5
#: Part of a sum below which a term, and those after it, are left out.
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """A level that has too few good shares."""

    #: Zeros of the level.
    zeros: int
    #: Shares with so many zeros or more, and those of them that have more.
    shares: int
    better: int
    #: Chance that an honest worker has so few of them.
    chance: float

    def __str__(self) -> str:
        """Say it in words."""
        return (
            f"of {self.shares} shares with {self.zeros} zeros or more only {self.better} have "
            f"{self.zeros + 1}: an honest worker has so few with a chance of {self.chance:.1g}"
        )


@dataclass(kw_only=True, slots=True)
class Level:
    """The shares of one worker with some zeros or more."""

    #: All of them, and those that have more zeros.
    shares: int = 0
    better: int = 0
    #: Shares at which it is tested next.
    next_test: int = FEWEST

    def count(self, *, is_better: bool) -> None:
        """Count a share."""
        self.shares += 1
        self.better += is_better

    def tested(self) -> float | None:
        """Return the chance for an honest worker, when it is time for a test; else None."""
        if self.shares < self.next_test:
            return None
        self.next_test = int(self.shares * _GROWTH)
        return chance_of(self.better, self.shares)


class Tally:
    """The levels of one worker."""

    __slots__ = ("levels",)

    def __init__(self) -> None:
        #: By zeros.
        self.levels: dict[int, Level] = {}

    def count(self, *, level: int, zeros: int) -> None:
        """Count a share; `level` is the fewest zeros at which every hash met the job's target.

        Below that level, shares are not all there, and say nothing.
        """
        for reached in range(level, zeros + 1):
            self.levels.setdefault(reached, Level()).count(is_better=zeros > reached)

    @property
    def size(self) -> int:
        """Return a number that grows with each share."""
        return sum(level.shares for level in self.levels.values())

    def restore(self, zeros: int, shares: int, better: int) -> None:
        """Take up a level of a run before, which was tested there."""
        next_test = max(FEWEST, int(shares * _GROWTH))
        self.levels[zeros] = Level(shares=shares, better=better, next_test=next_test)

    def suspicions(self) -> Iterator[Suspicion]:
        """Test the levels whose time it is; yield those that fail."""
        for zeros, level in self.levels.items():
            chance = level.tested()
            if chance is not None and chance < SIGNIFICANCE:
                yield Suspicion(
                    zeros=zeros, shares=level.shares, better=level.better, chance=chance
                )


def chance_of(better: int, shares: int) -> float:
    """Return the chance that at most `better` of so many shares reach the next level.

    Where no fewer reach it than are to be expected, the answer is 1.
    """
    if better >= shares * _PART:
        return 1.0
    total = 0.0
    for k in range(better, -1, -1):  # the largest comes first
        term = exp(_log_binomial(k, shares))
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return total


def _log_binomial(k: int, n: int) -> float:
    ways = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    return ways + k * log(_PART) + (n - k) * log(1 - _PART)
