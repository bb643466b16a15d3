"""Points: what a share proves, and how a block's reward is divided by what was proven.

A share is a nonce whose hash has a head, its first 8 bytes as a number, of at most the job's
target. Its points are the hashes that one such nonce takes on average, by the target as issued.
"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

from libs.kale.fees import by_largest_remainder

KeyT = TypeVar("KeyT", bound=Hashable)

#: Heads that there are.
HEADS = 1 << 64
#: The largest target: every hash meets it.
LARGEST_TARGET = HEADS - 1
#: Leading zero hex digits that a head has at most.
DIGITS = 16


def hashes_of(target: int) -> int:
    """Return the hashes that a share of this target takes on average: 2^64 // (target + 1).

    Raise ValueError for a number that is no target.
    """
    if not 0 <= target <= LARGEST_TARGET:
        raise ValueError("a target is from 0 to 2^64 - 1")
    return HEADS // (target + 1)


def target_of(hashes: int) -> int:
    """Return the largest target of which a share takes at least so many hashes on average.

    Raise ValueError for less than one hash, or more than there are heads.
    """
    if not 1 <= hashes <= HEADS:
        raise ValueError("a share takes from 1 to 2^64 hashes")
    return HEADS // hashes - 1


def level_of(target: int) -> int:
    """Return the fewest zeros at which every hash meets the target.

    A target of 2^64 / 16^z - 1 has level z; one between two such targets has the higher level.
    """
    level = 0
    while (HEADS >> 4 * level) - 1 > target:
        level += 1
    return level


def divide(amount: int, points: Mapping[KeyT, int]) -> dict[KeyT, int]:
    """Divide an amount in proportion to points, by largest remainders; the sum is the amount.

    Of equal remainders the earlier one in the mapping's order is served first. Nobody gets
    anything where there are no points. Raise ValueError for a negative amount or negative points.
    """
    if amount < 0 or any(one < 0 for one in points.values()):
        raise ValueError("amounts and points must not be negative")
    if not any(points.values()):
        return dict.fromkeys(points, 0)
    return dict(zip(points, by_largest_remainder(amount, list(points.values())), strict=True))
