"""Strategies for the zeros from which on a farmer is not mined for any more."""

from pooler.strategies.model import ZerosFacts

#: Zeros that no hash exceeds.
ALL = 64
#: Zeros that are mined for even where fewer would earn as much: the blocks of a young chain, whose
#: maximum grows by what is worked.
_LEAST = 6


def cap(facts: ZerosFacts) -> int:
    """Stop at the block's max_zeros: more earn nothing in it and raise the next block's maximum."""
    return max(_LEAST, facts.max_zeros)


def endless(_facts: ZerosFacts) -> int:
    """Mine for every farmer until the works are sent."""
    return ALL
