"""Strategies for the zeros from which on a farmer is not mined for any more."""

from pooler.strategies.model import ZerosFacts

#: Zeros that no hash exceeds.
ALL = 64


def cap(facts: ZerosFacts) -> int:
    """Stop at the block's max_zeros: more earn nothing in it and raise the next block's maximum."""
    return facts.max_zeros


def endless(_facts: ZerosFacts) -> int:
    """Mine for every farmer until the works are sent."""
    return ALL
