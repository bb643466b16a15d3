"""Luck: how good a best nonce is for the hashes that were done."""

from math import exp, log1p


def chance_below(zeros: int, hashes: int) -> float:
    """Return the chance that none of so many hashes has `zeros` leading zero digits or more."""
    if zeros <= 0:
        return 1.0 if hashes == 0 else 0.0
    return exp(hashes * log1p(-(16.0**-zeros)))


def luck_of(best: int, hashes: int) -> float | None:
    """Return the part of all miners with as many hashes whose best nonce is worse, from 0 to 1.

    Those whose best nonce is as good count half, so that 0.5 is what is to be expected. None
    without hashes.
    """
    if hashes <= 0:
        return None
    below, up_to = chance_below(best, hashes), chance_below(best + 1, hashes)
    return (below + up_to) / 2
