"""Variable difficulty: a worker gets shares that take it about a twentieth of a block each.

Started low and raised by what comes in: a start that is 4,096 times too low is right after one
block, one that is as much too high needs several, in which the worker shows nothing.
"""

from dataclasses import dataclass, replace
from math import sqrt

#: Seconds of a block, by which the wanted number of shares is meant.
BLOCK_SECONDS = 300
#: Part of the rate that a worker says it has, from which its first difficulty follows.
_CAUTION = 16
#: Hashes of the first share of a worker that says nothing: 6 zeros.
FIRST_DIFFICULTY = 16**6
#: The difficulty changes at once when so many times the wanted shares of a block came.
_FLOOD = 3
#: Seconds without a share after which a change is looked at.
SILENCE = 60.0
#: Standard deviations that the number of shares has to be off before anything changes.
_DEVIATIONS = 2
#: Times that one change raises or lowers the difficulty at most.
_STEP = 4.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The operator's bounds."""

    #: Hashes that a share takes on average at least, and at most.
    lowest: int = 16**4
    highest: int = 16**10
    #: Shares of a worker in a block that are wanted.
    shares: int = 20

    def clamp(self, difficulty: float) -> int:
        """Return the nearest difficulty within the bounds."""
        return int(min(max(difficulty, self.lowest), self.highest))


@dataclass(frozen=True, kw_only=True)
class Vardiff:
    """The difficulty of one worker, and what came in since it was set."""

    #: Hashes that a share takes on average.
    difficulty: int
    #: When it was set (s).
    since: float
    #: Shares since then, and when the newest came (s). One that was issued with another difficulty
    #: counts as many as it stands for.
    shares: float = 0.0
    newest: float = 0.0

    def counted(self, at: float, points: int) -> "Vardiff":
        """Return it with one more share, by the hashes that the share took on average."""
        return replace(self, shares=self.shares + points / self.difficulty, newest=at)

    def is_silent(self, at: float) -> bool:
        """Tell whether no share has come for a while."""
        return at - max(self.since, self.newest) >= SILENCE

    def expected(self, at: float, bounds: Bounds) -> float:
        """Return the shares that were wanted by now."""
        return bounds.shares * max(0.0, at - self.since) / BLOCK_SECONDS


def first(rate: float | None, at: float, bounds: Bounds) -> Vardiff:
    """Return the start of a worker, who may say what rate it has (hashes a second)."""
    if rate is None:
        difficulty = bounds.clamp(FIRST_DIFFICULTY)
    else:
        difficulty = bounds.clamp(rate / _CAUTION * BLOCK_SECONDS / bounds.shares)
    return Vardiff(difficulty=difficulty, since=at)


def retargeted(now: Vardiff, at: float, bounds: Bounds, *, is_new_block: bool = False) -> Vardiff:
    """Return the difficulty that follows; the same object when nothing changes.

    A change is looked at when a block begins, at once in a flood of shares, and in silence.
    """
    is_flood = now.shares >= _FLOOD * bounds.shares
    if not (is_new_block or is_flood or now.is_silent(at)):
        return now
    expected = now.expected(at, bounds)
    if abs(now.shares - expected) <= _DEVIATIONS * sqrt(max(expected, 1.0)):
        return now
    change = min(max((now.shares + 1) / (expected + 1), 1 / _STEP), _STEP)
    difficulty = bounds.clamp(now.difficulty * change)
    return Vardiff(difficulty=difficulty, since=at)
