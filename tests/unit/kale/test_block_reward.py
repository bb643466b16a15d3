"""Rewards of single blocks, and weights where there is next to nothing to weigh."""

import pytest

from libs.kale.constants import DECAY_FACTOR, DECAY_PERIOD, DECAY_SCALE, DECAY_START
from libs.kale.reward import BlockStats, Weights, block_reward, reward, weights


def test_a_reward_decays_by_a_twentieth_every_8640_blocks() -> None:
    assert (DECAY_START, DECAY_PERIOD) == (30_558, 8_640)
    assert DECAY_FACTOR * 100 == 95 * DECAY_SCALE == 95 * 10**12


@pytest.mark.parametrize(
    ("index", "stroops"),
    [
        (0, 25_050_000_000),
        (30_558, 25_050_000_000),
        (39_197, 25_050_000_000),
        (39_198, 23_797_500_000),
        (47_838, 22_607_625_000),
    ],
)
def test_a_block_shares_out(index: int, stroops: int) -> None:
    assert block_reward(index) == stroops


def stats(low: int, high: int, *, total: int = 3) -> BlockStats:
    return BlockStats(
        min_gap=low,
        max_gap=high,
        min_stake=low,
        max_stake=high,
        min_zeros=low,
        max_zeros=high,
        staked_total=0,
        normalized_total=total,
    )


@pytest.mark.parametrize(("low", "high", "weight"), [(5, 5, 1), (5, 6, 1), (5, 7, 2), (5, 8, 3)])
def test_the_best_of_a_narrow_block_weighs_what_its_range_is(
    low: int, high: int, weight: int
) -> None:
    found = weights(stats(low, high), gap=high, stake=high, zeros=high)
    assert found == Weights(gap=weight, stake=weight, zeros=weight)
    assert found.total == 3 * weight


def test_who_is_alone_has_all_of_it_and_nobody_divides_by_nothing() -> None:
    for total, part in ((3, 25_050_000_000), (0, 75_150_000_000), (6, 12_525_000_000)):
        assert reward(stats(5, 5, total=total), index=0, gap=5, stake=5, zeros=5) == part
