"""Points and parts: integers that add up."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.shares.domain.points import (
    HEADS,
    LARGEST_TARGET,
    divide,
    hashes_of,
    level_of,
    target_of,
)

POINTS = st.dictionaries(st.integers(0, 40), st.integers(0, 2**50), max_size=30)


@pytest.mark.parametrize("zeros", range(17))
def test_whole_zeros_take_a_power_of_16(zeros: int) -> None:
    target = (HEADS >> 4 * zeros) - 1
    assert hashes_of(target) == 16**zeros
    assert target_of(16**zeros) == target
    assert level_of(target) == zeros


@given(st.integers(1, 2**48))
def test_a_target_takes_the_hashes_that_it_was_made_for(hashes: int) -> None:
    target = target_of(hashes)
    found = hashes_of(target)
    assert found >= hashes
    # One more head would be one hash too easy.
    assert target == LARGEST_TARGET or HEADS // (target + 2) <= hashes
    assert found - hashes <= found * (found + 1) // HEADS + 1


@given(st.integers(0, LARGEST_TARGET))
def test_every_hash_of_a_targets_level_meets_it_and_none_of_the_level_below_must(
    target: int,
) -> None:
    level = level_of(target)
    assert (HEADS >> 4 * level) - 1 <= target
    assert level == 0 or (HEADS >> 4 * (level - 1)) - 1 > target


@pytest.mark.parametrize("target", [-1, LARGEST_TARGET + 1])
def test_what_is_no_target_has_no_points(target: int) -> None:
    with pytest.raises(ValueError, match="target"):
        hashes_of(target)


@pytest.mark.parametrize("hashes", [0, -1, HEADS + 1])
def test_no_share_takes_less_than_one_hash(hashes: int) -> None:
    with pytest.raises(ValueError, match="hashes"):
        target_of(hashes)


@given(st.integers(0, 10**18), POINTS)
def test_parts_add_up_and_are_near_the_proportion(amount: int, points: dict[int, int]) -> None:
    parts = divide(amount, points)
    total = sum(points.values())
    assert parts.keys() == points.keys()
    assert sum(parts.values()) == (amount if total else 0)
    for key, part in parts.items():
        if total:
            assert 0 <= part - amount * points[key] // total <= 1
        if not points[key]:
            assert part == 0


@given(st.integers(0, 10**18), POINTS)
def test_who_has_more_points_never_gets_less(amount: int, points: dict[int, int]) -> None:
    parts = divide(amount, points)
    by_points = sorted(points, key=lambda key: points[key])
    for less, more in pairwise(by_points):
        if points[less] < points[more]:
            assert parts[less] <= parts[more]


def test_the_largest_remainder_comes_first_then_the_order() -> None:
    assert divide(10, {"a": 1, "b": 1, "c": 1}) == {"a": 4, "b": 3, "c": 3}
    assert divide(10, {"a": 55, "b": 27, "c": 18}) == {"a": 5, "b": 3, "c": 2}


@pytest.mark.parametrize(("amount", "points"), [(-1, {"a": 1}), (1, {"a": -1})])
def test_nothing_is_negative(amount: int, points: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="negative"):
        divide(amount, points)


@pytest.mark.parametrize("zeros", [0, 1, 7, 15])
def test_one_below_a_targets_level_is_of_the_next_one(zeros: int) -> None:
    target = HEADS // 16**zeros - 1
    assert level_of(target) == zeros
    assert level_of(target - 1) == zeros + 1
