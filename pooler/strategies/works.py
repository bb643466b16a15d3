"""Strategies for an early work with a poor nonce, before the late one with the best."""

from pooler.strategies.model import EarlyFacts


def once(_facts: EarlyFacts) -> bool:
    """Work once, late."""
    return False


def second_work(facts: EarlyFacts) -> bool:
    """Show the first nonce as soon as the contract takes it, the ledger after the plant.

    The stake is safe from then on. The contract counts the late work's gap in the reward, but only
    the early work's gap in the block's total, so that a block pays out more than its pot: at the
    cost of all who hold KALE. Whoever names this strategy decides that; it is never the default.
    """
    return facts.ledger > facts.planted
