"""Strategies for who takes part in a block: the profitability gate, and what a block will pay."""

from dataclasses import dataclass

from libs.kale.reward import BlockStats, block_reward, weights
from pooler.strategies.model import GateFacts


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is expected of one farmer's part in the next block."""

    #: Ledgers between its plant and its work.
    gap: int
    #: Stroops of KALE.
    stake: int
    #: Zeros of its work.
    zeros: int
    #: Whether its work is among those of the closed block already.
    takes_part: bool


def always(_facts: GateFacts) -> bool:
    """Take part in every block."""
    return True


def profitable(facts: GateFacts) -> bool:
    """Take part unless the expected reward is worth less than the fees.

    Without both prices nobody can tell, and the farmer takes part.
    """
    if facts.kale_price is None or facts.xlm_price is None:
        return True
    return facts.reward * facts.kale_price >= facts.fees * facts.xlm_price


def expected_reward(closed: BlockStats, *, index: int, outlook: Outlook) -> int:
    """Return the stroops of KALE that block `index` will pay, were it like the closed one.

    `closed` is the last block whose works are all counted. A farmer that was not among them adds
    its own weight to their sum.
    """
    weight = weights(closed, gap=outlook.gap, stake=outlook.stake, zeros=outlook.zeros).total
    total = closed.normalized_total + (0 if outlook.takes_part else weight)
    return weight * (block_reward(index) + closed.staked_total) // max(1, total)
