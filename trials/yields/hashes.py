"""The zeros that a number of hashes finds, by the way in which they are shared among farmers.

Drawn exactly, not hash by hash: a hash has z or more zeros with the chance 16^-z, so the hashes
until one has more than z are exponential (geometric, but for one hash), and its zeros beyond them
are geometric. The functions return the zeros of each farmer's best hash, in no order.
"""

from collections import Counter
from collections.abc import Callable
from math import expm1, log, log1p
from random import Random

_LOG_16 = log(16)

#: Shares hashes among farmers: draw, hashes, farmers and cap give the zeros of each farmer.
Sharing = Callable[[Random, float, int, int], list[int]]


def fewest_first(draw: Random, hashes: float, farmers: int, cap: int) -> list[int]:
    """Mine for one of the farmers with the fewest zeros, and for nobody from the cap on."""
    start = max(0, min(_passed(hashes / farmers), cap - 1))
    # All pass the start, which takes a small part of the hashes.
    left = hashes - draw.gammavariate(farmers, 16.0 ** (start + 1))
    by_zeros = Counter(start + 1 + more_zeros(draw) for _ in range(farmers))
    done: list[int] = []
    while left > 0 and min(by_zeros, default=cap) < cap:
        zeros = min(by_zeros)
        behind = by_zeros.pop(zeros)
        for number in range(behind):
            left -= draw.expovariate(16.0 ** -(zeros + 1))
            if left < 0:
                done += [zeros] * (behind - number)
                break
            by_zeros[zeros + 1 + more_zeros(draw)] += 1
    return [*done, *by_zeros.elements()]


def equal_turns(draw: Random, hashes: float, farmers: int, cap: int) -> list[int]:
    """Mine for all farmers alike, whatever they have; hashes of who has the cap are idle."""
    each = hashes / farmers
    return [min(best_of(draw, each), max(cap, 1)) for _ in range(farmers)]


def one_after_another(draw: Random, hashes: float, farmers: int, cap: int) -> list[int]:
    """Mine for one farmer until it has the cap, then for the next one, as homestead does.

    Who is not reached has one hash.
    """
    left, done = hashes, []
    for _ in range(farmers):
        left -= draw.expovariate(16.0**-cap)
        done.append(cap + more_zeros(draw) if left >= 0 else more_zeros(draw))
    return done


def best_of(draw: Random, hashes: float) -> int:
    """Return the most zeros among this many hashes."""
    # The chance of fewer than z zeros is (1 - 16^-z)^hashes; a number drawn evenly picks the z.
    log_even = log(1.0 - draw.random())
    rare = -expm1(log_even / max(1.0, hashes))
    return 64 if rare <= 0 else int(-log(rare) / _LOG_16)


def more_zeros(draw: Random) -> int:
    """Return the zeros of one hash: 0 for 15 in 16, 1 for 15 in 256 and so on."""
    return int(-log1p(-draw.random()) / _LOG_16)


def _passed(hashes_each: float) -> int:
    """Return zeros that all farmers pass within a sixteenth of so many hashes for each."""
    return int(log(max(1.0, hashes_each)) / _LOG_16) - 2
