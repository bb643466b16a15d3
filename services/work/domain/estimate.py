"""Estimate of what the works of a request would earn if the block closed in its present state."""

from collections.abc import Sequence
from dataclasses import replace

from libs.kale.reward import reward, weights
from services.work.domain.model import Block, Verdict


def estimates(verdicts: Sequence[Verdict], block: Block) -> tuple[int, ...]:
    """Return the stroops of KALE per verdict, by the contract's formula.

    Nonces that did not work get 0. The block's total may be a ledger old and not yet have these
    works in it: it counts as at least the sum of their own weights.
    """
    shares = [
        weights(block.stats, gap=one.gap, stake=one.stake, zeros=one.zeros).total
        if one.worked
        else 0
        for one in verdicts
    ]
    total = max(block.stats.normalized_total, sum(shares))
    stats = replace(block.stats, normalized_total=total)
    return tuple(
        reward(stats, index=block.index, gap=one.gap, stake=one.stake, zeros=one.zeros)
        if one.worked
        else 0
        for one in verdicts
    )
