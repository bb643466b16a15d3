"""How a reward is divided between a farmer, its pooler, the operator and miners."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.kale.amounts import WHOLE


class FeeTerms(Protocol):
    """What is agreed of rewards, in ten-thousandths."""

    @property
    def pooler_bps(self) -> int:
        """Return the pooler's part of the reward, that of its miners included."""
        ...

    @property
    def operator_bps(self) -> int:
        """Return the operator's part of the reward."""
        ...

    @property
    def miners_bps(self) -> int:
        """Return the miners' part of the pooler's."""
        ...


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A farmer's terms in a block, in ten-thousandths."""

    #: The pooler's part of the reward, that of its miners included.
    pooler_bps: int
    #: The operator's part of the reward.
    operator_bps: int
    #: The miners' part of the pooler's.
    miners_bps: int


@dataclass(frozen=True, kw_only=True)
class Split:
    """The parts of a reward, in stroops; together they are the reward."""

    #: The farmer's.
    farmer: int
    #: The pooler's, without that of its miners.
    pooler: int
    #: The operator's.
    operator: int
    #: The miners'.
    miners: int


def split(reward: int, terms: FeeTerms) -> Split:
    """Divide a reward; harvest.split in the database has the same rule.

    The fees together are never more than was agreed, so that the odd stroop is the farmer's. They
    are divided by largest remainder; of equal ones the pooler's goes first, then the operator's.
    """
    agreed = terms.pooler_bps + terms.operator_bps
    fee = reward * agreed // WHOLE
    weights = (
        terms.pooler_bps * (WHOLE - terms.miners_bps),
        terms.operator_bps * WHOLE,
        terms.pooler_bps * terms.miners_bps,
    )
    pooler, operator, miners = by_largest_remainder(fee, weights)
    return Split(farmer=reward - fee, pooler=pooler, operator=operator, miners=miners)


def by_largest_remainder(amount: int, weights: Sequence[int]) -> list[int]:
    """Divide an amount; of equal remainders the earlier one goes first."""
    # Without any weight there is nothing to divide.
    whole = sum(weights) or 1
    parts = [amount * weight // whole for weight in weights]
    rests = [amount * weight % whole for weight in weights]
    odd = amount - sum(parts)
    for place in sorted(range(len(weights)), key=lambda place: -rests[place])[:odd]:
        parts[place] += 1
    return parts
