"""Windows of blocks, the spans that make them up, and the hash rate that works prove."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.ids import PoolerId, new_id
from libs.kale.constants import MAX_I64
from services.harvest.domain.poolers import (
    FEWEST_WORKS,
    SPANS,
    Figures,
    Openings,
    ProvenRate,
    Run,
    Window,
    numbered,
    proven_rate,
    runs_of,
)
from services.harvest.domain.reports import Blocks

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIGURES = Figures(
    pooler_id=PoolerId(new_id()),
    window_number=1,
    planted=0,
    not_planted=0,
    staked=0,
    worked=0,
    not_worked=0,
    worked_blocks=10,
    farmers_by_zeros=(),
    harvested=0,
    not_harvested=0,
    rewards=0,
)
#: Ten blocks in 3,000 s.
OPENINGS = Openings(
    number=1,
    first_index=100,
    first_opened_at=NOON,
    last_index=110,
    last_opened_at=NOON + timedelta(seconds=3000),
)


@pytest.mark.parametrize(
    ("window", "current", "first", "last"),
    [
        (Window.DAY, None, 0, -1),
        (Window.DAY, 0, 0, -1),
        (Window.DAY, 1, 0, 0),
        (Window.DAY, 288, 0, 287),
        (Window.DAY, 289, 1, 288),
        (Window.WEEK, 10_000, 7_984, 9_999),
        (Window.MONTH, 10_000, 1_360, 9_999),
    ],
)
def test_a_window_ends_before_the_running_block(
    window: Window, current: int | None, first: int, last: int
) -> None:
    assert window.blocks(current) == Blocks(first=first, last=last)


def blocks_of(runs: list[Run]) -> list[int]:
    return [
        block
        for run in runs
        for start in range(run.first, run.last + 1, run.blocks)
        for block in range(start, start + run.blocks)
    ]


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 287, 288, 300, 600, 2016])
def test_runs_have_each_block_once_in_the_largest_spans_that_fit(length: int) -> None:
    for first in range(580):
        blocks = Blocks(first=first, last=first + length - 1)
        runs = runs_of(blocks)
        assert blocks_of(runs) == list(range(first, first + length))
        assert all(run.first % run.blocks == 0 and run.blocks in SPANS for run in runs)
        # Fewest: no more blocks at an end than a larger span would have, and one run in a row.
        assert len(runs) <= 5
        by_length = dict.fromkeys(SPANS, 0)
        for run in runs:
            by_length[run.blocks] += (run.last - run.first) // run.blocks + 1
        assert by_length[1] <= 22
        assert by_length[12] <= 46


def test_runs_are_numbered_by_their_windows() -> None:
    windows = [Blocks(first=0, last=12), Blocks(first=0, last=-1), Blocks(first=288, last=575)]
    assert numbered(windows) == [
        (1, Run(blocks=12, first=0, last=0)),
        (1, Run(blocks=1, first=12, last=12)),
        (3, Run(blocks=288, first=288, last=288)),
    ]


def test_who_took_part_and_what_that_earned() -> None:
    figures = replace(FIGURES, planted=5, not_planted=2, rewards=20)
    assert (figures.farmer_blocks, figures.rewards_per_farmer_block) == (7, 2)
    assert FIGURES.rewards_per_farmer_block is None
    assert replace(FIGURES, not_planted=1).rewards_per_farmer_block == 0


def test_blocks_last_as_long_as_those_between_two_openings_on_average() -> None:
    assert OPENINGS.microseconds(3) == 900_000_000
    a_day = replace(OPENINGS, last_opened_at=NOON + timedelta(days=1, seconds=10, microseconds=3))
    assert a_day.microseconds(1) == 8_641_000_000
    assert replace(OPENINGS, last_index=100).microseconds(3) == 0


def with_zeros(*farmers: int, **changes: Any) -> Figures:
    return replace(FIGURES, farmers_by_zeros=farmers, **changes)


def test_a_rate_is_told_of_the_most_zeros_that_enough_works_have() -> None:
    enough = with_zeros(0, 0, 7, FEWEST_WORKS - 1, 1)
    assert proven_rate(enough, OPENINGS) == ProvenRate(
        rate=25 * 16**3 // 3000, error=5 * 16**3 // 3000, blocks=10, works=25, zeros=3
    )
    fewer = proven_rate(with_zeros(0, 0, 7, FEWEST_WORKS - 2, 1), OPENINGS)
    assert fewer is not None
    assert (fewer.zeros, fewer.works, fewer.rate) == (2, 31, 31 * 16**2 // 3000)


def test_a_rate_is_of_the_blocks_in_which_somebody_worked() -> None:
    found = proven_rate(with_zeros(0, 0, 0, 0, 0, 25, worked_blocks=5), OPENINGS)
    assert found is not None
    assert (found.rate, found.blocks) == (25 * 16**5 // 1500, 5)


def test_a_rate_has_an_end_where_numbers_have_one() -> None:
    found = proven_rate(with_zeros(*([0] * 64), 30), OPENINGS)
    assert found is not None
    assert (found.rate, found.error, found.zeros) == (MAX_I64, MAX_I64, 64)


@pytest.mark.parametrize(
    "figures",
    [
        FIGURES,
        with_zeros(100),
        with_zeros(0, 24),
        with_zeros(0, 25, worked_blocks=0),
    ],
)
def test_too_few_works_prove_no_rate(figures: Figures) -> None:
    assert proven_rate(figures, OPENINGS) is None


def test_there_is_no_rate_while_nobody_knows_how_long_blocks_last() -> None:
    figures = with_zeros(0, 25)
    assert proven_rate(figures, OPENINGS) is not None
    assert proven_rate(figures, None) is None
    assert proven_rate(figures, replace(OPENINGS, last_index=100)) is None


# How far from the truth it is --------------------------------------------------------------------

#: Mines for one farmer in one block: returns the zeros of the best hash, and the hashes done.
Miner = Callable[[random.Random], tuple[int, int]]


def best_of(hashes: int) -> Miner:
    """Somebody who hashes until the block ends."""
    return lambda chance: (int(-math.log(1 - chance.random() ** (1 / hashes), 16)), hashes)


def until(zeros: int, hashes: int) -> Miner:
    """Somebody who stops at a number of zeros, or when the block ends."""

    def mine(chance: random.Random) -> tuple[int, int]:
        first = 1 + int(math.log(1 - chance.random()) / math.log1p(-(16.0**-zeros)))
        if first <= hashes:
            return zeros + int(-math.log(1 - chance.random(), 16)), first
        while True:
            best, _ = best_of(hashes)(chance)
            if best < zeros:
                return best, hashes

    return mine


def ratio(mine: Miner, farmers: int, chance: random.Random) -> float:
    """The rate that works prove, as a part of the true one."""
    counts = [0] * 65
    done = 0
    for _ in range(farmers):
        zeros, hashes = mine(chance)
        counts[zeros] += 1
        done += hashes
    a_second = replace(OPENINGS, last_opened_at=NOON + timedelta(seconds=1), last_index=101)
    found = proven_rate(with_zeros(*counts, worked_blocks=1), a_second)
    assert found is not None
    return found.rate / done


@pytest.mark.parametrize("hashes", [2**16, 2**18, 2**20, 2**22])
@pytest.mark.parametrize("zeros", [5, 64])
def test_of_many_works_the_rate_is_the_true_one_however_somebody_stops(
    hashes: int, zeros: int
) -> None:
    chance = random.Random(f"{hashes} {zeros}")
    mine = best_of(hashes) if zeros == 64 else until(zeros, hashes)
    found = [ratio(mine, 3000, chance) for _ in range(20)]
    assert 0.9 < sum(found) / len(found) < 1.1


@pytest.mark.parametrize("hashes", [2**16, 2**18, 2**20, 2**22])
@pytest.mark.parametrize("zeros", [5, 64])
def test_of_few_works_the_rate_is_seldom_too_high(hashes: int, zeros: int) -> None:
    chance = random.Random(f"few {hashes} {zeros}")
    mine = best_of(hashes) if zeros == 64 else until(zeros, hashes)
    found = [ratio(mine, 100, chance) for _ in range(100)]
    assert sum(found) / len(found) < 1.1
    assert sum(one > 1.6 for one in found) <= 2
