"""Strategies for the blocks that are harvested now.

A harvest can wait: the reward stays the same until the farm's entries expire, about a day after
the block opened. Several blocks of a farmer in one transaction write its trustline once. But a
stake that is not harvested is missing in the next plant.
"""

from pooler.strategies.model import HarvestFacts

#: Ledgers before the end of a pail's life at which nothing waits any more: a quarter of it, six
#: hours, so that a pool that is down for hours still harvests in time.
EXPIRY_MARGIN = 4_320


def each(facts: HarvestFacts) -> tuple[int, ...]:
    """Harvest every block as soon as it is closed."""
    return facts.closed


def grouped(facts: HarvestFacts) -> tuple[int, ...]:
    """Wait for a group of blocks, where that is cheaper and no plant lacks its stake meanwhile.

    Everything is harvested together: when the group is full, when the next plants need a stake
    that is locked, and well before the oldest block expires.
    """
    full = len(facts.closed) >= facts.group
    dear = facts.saved <= 0
    expiring = any(last - facts.ledger < EXPIRY_MARGIN for last in facts.expires)
    return facts.closed if full or dear or facts.short > 0 or expiring else ()
