"""The reward of a block, and each pail's share of it (contract section 7)."""

from dataclasses import dataclass

from libs.kale.constants import (
    DECAY_FACTOR,
    DECAY_PERIOD,
    DECAY_SCALE,
    DECAY_START,
    FULL_BLOCK_REWARD,
)
from libs.kale.errors import BlockInvalidError


@dataclass(frozen=True, kw_only=True)
class BlockStats:
    """The figures that a block weighs its pails by."""

    #: Gaps that count, in ledgers.
    min_gap: int
    max_gap: int
    #: Stakes that count, in stroops.
    min_stake: int
    max_stake: int
    #: Zeros that count, in hex digits.
    min_zeros: int
    max_zeros: int
    #: Stroops planted and not yet worked.
    staked_total: int
    #: Sum of the weights of all works.
    normalized_total: int


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A pail's three weights, each from 1 to the widest range of its block."""

    #: Weight of the gap.
    gap: int
    #: Weight of the stake.
    stake: int
    #: Weight of the zeros.
    zeros: int

    @property
    def total(self) -> int:
        """Return the sum of the three weights, which is what counts."""
        return self.gap + self.stake + self.zeros


def block_reward(index: int) -> int:
    """Return the stroops that block `index` shares out, its unworked stakes not counted."""
    periods = max(0, index - DECAY_START) // DECAY_PERIOD
    scale = DECAY_SCALE
    for _ in range(periods):
        if scale == 0:
            break
        scale = scale * DECAY_FACTOR // DECAY_SCALE
    return FULL_BLOCK_REWARD * scale // DECAY_SCALE


def weights(block: BlockStats, *, gap: int, stake: int, zeros: int) -> Weights:
    """Return the weights of a pail.

    Raise BlockInvalidError when a maximum lies below its minimum.
    """
    bounds = (
        (block.min_gap, block.max_gap, gap),
        (block.min_stake, block.max_stake, stake),
        (block.min_zeros, block.max_zeros, zeros),
    )
    if any(high < low for low, high, _ in bounds):
        raise BlockInvalidError
    widest = max(max(1, high - low) for low, high, _ in bounds)
    gap_weight, stake_weight, zeros_weight = (
        _weight(low, high, value, widest) for low, high, value in bounds
    )
    return Weights(gap=gap_weight, stake=stake_weight, zeros=zeros_weight)


def reward(block: BlockStats, *, index: int, gap: int, stake: int, zeros: int) -> int:
    """Return the stroops that a harvest pays on top of the stake.

    The block's totals count as they stand.
    """
    share = weights(block, gap=gap, stake=stake, zeros=zeros).total
    pot = block_reward(index) + block.staked_total
    return share * pot // max(1, block.normalized_total)


def _weight(low: int, high: int, value: int, widest: int) -> int:
    span = max(1, high - low)
    offset = min(max(value, low), high) - low
    return max(1, offset * widest // span)
