"""Strategies for the stake of a farmer.

A stake is not spent: it is locked from the plant of a block until its harvest, and lost only if the
farmer never works. It weighs between the least and the most that anybody staked in the block
before, so more than that maximum earns nothing.
"""

from pooler.strategies.model import StakeFacts


def full(facts: StakeFacts) -> int:
    """Stake up to the block's maximum, as long as the next block can be staked as much.

    min(balance - what the next block needs, max_stake), within the agreement. The next block needs
    half of all that the farmer has, or the maximum where that is less; what is locked now is there
    for it.
    """
    limit = _limit(facts)
    wanted = min(limit, (facts.balance + facts.locked) // 2)
    kept = max(0, wanted - facts.locked)
    return max(0, min(facts.balance - kept, limit, facts.agreed))


def agreed(facts: StakeFacts) -> int:
    """Stake what was agreed, whatever it earns: the agreed part of the balance."""
    return min(facts.agreed, facts.balance)


def none(_facts: StakeFacts) -> int:
    """Stake nothing, as homestead and KALE-farmer do."""
    return 0


def _limit(facts: StakeFacts) -> int:
    """Return the stroops above which a stake earns nothing.

    A maximum of 0 says that nobody staked in the block before. A stake then raises the next
    block's maximum, in which it weighs; without this exception no pool would ever begin to stake.
    """
    return facts.max_stake or facts.balance + facts.locked
