"""The difficulty of a worker: started low, moved by what came in."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.shares.domain.difficulty import Bounds, Vardiff, first, retargeted
from tests.support.share_simulation import shares_of

BOUNDS = Bounds()


def after(vardiff: Vardiff, shares: int, newest: float) -> Vardiff:
    for _ in range(shares):
        vardiff = vardiff.counted(newest, vardiff.difficulty)
    return vardiff


def test_a_start_is_16_times_lower_than_the_rate_that_is_told() -> None:
    assert first(1_000_000.0, 0.0, BOUNDS).difficulty == 1_000_000 // 16 * 300 // 20
    assert first(None, 0.0, BOUNDS).difficulty == 16**6


@pytest.mark.parametrize(
    ("rate", "difficulty"), [(0.0, 16**4), (1e30, 16**10), (float("inf"), 16**10)]
)
def test_a_start_is_within_the_bounds(rate: float, difficulty: int) -> None:
    assert first(rate, 0.0, BOUNDS).difficulty == difficulty


@pytest.mark.parametrize("seconds", [1.0, 15.0])
def test_where_one_share_or_less_is_expected_two_more_are_too_many(seconds: float) -> None:
    start, expected = Vardiff(difficulty=10**6, since=0.0), seconds / 15

    def changed(shares: float) -> bool:
        counted = start.counted(seconds, int(shares * start.difficulty))
        return retargeted(counted, seconds, BOUNDS, is_new_block=True) is not counted

    assert not changed(expected + 1.9)
    assert changed(expected + 2.1)


def test_nothing_changes_within_two_deviations() -> None:
    start = Vardiff(difficulty=10**6, since=0.0)
    # 20 are expected after 300 s, give or take two times the root of 20.
    for shares in (12, 20, 28):
        now = after(start, shares, 299.0)
        assert retargeted(now, 300.0, BOUNDS, is_new_block=True) is now
    for shares, expected in ((11, 10**6 * 12 // 21), (29, 10**6 * 30 // 21)):
        now = after(start, shares, 299.0)
        changed = retargeted(now, 300.0, BOUNDS, is_new_block=True)
        assert changed == Vardiff(difficulty=expected, since=300.0)


def test_a_change_is_looked_at_when_a_block_begins_in_a_flood_and_in_silence() -> None:
    start = Vardiff(difficulty=10**6, since=0.0)
    poor = after(start, 1, 150.0)
    assert retargeted(poor, 209.0, BOUNDS) is poor
    assert retargeted(poor, 210.0, BOUNDS) != poor
    assert retargeted(poor, 209.0, BOUNDS, is_new_block=True) != poor
    flood = after(start, 59, 10.0)
    assert retargeted(flood, 10.0, BOUNDS) is flood
    assert retargeted(flood.counted(10.0, 10**6), 10.0, BOUNDS).difficulty == 4 * 10**6


def test_60_silent_seconds_at_the_beginning_change_nothing_and_61_do() -> None:
    """Four shares were expected by then: two deviations of four."""
    start = Vardiff(difficulty=10**6, since=0.0)
    assert retargeted(start, 60.0, BOUNDS) is start
    assert retargeted(start, 61.0, BOUNDS).difficulty == 250_000


def test_a_share_of_another_difficulty_counts_what_it_stands_for() -> None:
    start = Vardiff(difficulty=1000, since=0.0)
    assert start.counted(1.0, 250).shares == 0.25
    # A worker that goes on with easier jobs is where it should be: nothing changes.
    easy = start
    for _ in range(80):
        easy = easy.counted(299.0, 250)
    assert retargeted(easy, 300.0, BOUNDS, is_new_block=True) is easy


@given(
    difficulty=st.integers(16**4, 16**10),
    shares=st.integers(0, 500),
    seconds=st.floats(0, 10_000),
    is_new_block=st.booleans(),
)
def test_a_change_is_never_by_more_than_four_and_goes_where_the_shares_are(
    difficulty: int, shares: int, seconds: float, is_new_block: bool
) -> None:
    now = after(Vardiff(difficulty=difficulty, since=0.0), shares, seconds / 2)
    changed = retargeted(now, seconds, BOUNDS, is_new_block=is_new_block)
    if changed is now:
        return
    assert BOUNDS.lowest <= changed.difficulty <= BOUNDS.highest
    assert difficulty // 4 <= changed.difficulty <= 4 * difficulty
    expected = 20 * seconds / 300
    if changed.difficulty > difficulty:
        assert shares > expected
    if changed.difficulty < difficulty:
        assert shares < expected
    assert (changed.shares, changed.since) == (0, seconds)


def credited(seed: int, *, off: float, blocks: int) -> list[float]:
    """Return credit by true hashes for each block of a worker whose start is off by a factor."""
    rate, seconds = 1e8, 300.0 * blocks
    start = Vardiff(difficulty=BOUNDS.clamp(rate * 300 / 20 * off), since=0.0)
    found = [0.0] * blocks
    for now, points in shares_of(Random(seed), rate, seconds, start):
        found[int(now // 300)] += points / (rate * 300)
    return found


@pytest.mark.parametrize("off", [1 / 4096, 1 / 16, 1.0, 16.0])
def test_the_difficulty_is_right_after_some_blocks_wherever_it_starts(off: float) -> None:
    totals = [sum(credited(seed, off=off, blocks=6)) / 6 for seed in range(60)]
    assert abs(sum(totals) / len(totals) - 1) < 0.04
    # What a block's shares say of its rate: 1 / sqrt(20) is expected.
    last = [credited(seed, off=off, blocks=6)[-1] for seed in range(60)]
    spread = (sum((one - 1) ** 2 for one in last) / len(last)) ** 0.5
    assert spread < 0.35
