"""Whose turn it is: the fewest zeros first, and nonces that nobody else has."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.shares.domain.jobs import NONCES
from pooler.shares.domain.turns import Turns


def test_farmers_with_equal_zeros_take_turns() -> None:
    turns = Turns(3, lambda _: -1, cap=64)
    assert [turns.next() for _ in range(6)] == [(0, -1), (1, -1), (2, -1)] * 2


def test_the_fewest_zeros_come_first_as_they_are_by_then() -> None:
    zeros = [5, 3, 4]
    turns = Turns(3, lambda position: zeros[position], cap=64)
    assert [turns.next() for _ in range(2)] == [(1, 3), (1, 3)]
    zeros[1] = 6
    assert turns.next() == (2, 4)
    zeros[2] = 5
    assert {turns.next() for _ in range(2)} == {(0, 5), (2, 5)}


def test_who_has_what_counts_gets_no_turn() -> None:
    zeros = [6, 7, 8]
    turns = Turns(3, lambda position: zeros[position], cap=7)
    assert [turns.next() for _ in range(2)] == [(0, 6), (0, 6)]
    zeros[0] = 7
    assert turns.next() is None
    assert Turns(0, lambda _: -1, cap=64).next() is None


@given(
    zeros=st.lists(st.integers(-1, 10), min_size=1, max_size=30),
    finds=st.lists(st.tuples(st.integers(0, 29), st.integers(1, 3)), max_size=60),
    cap=st.integers(0, 12),
)
def test_a_turn_always_has_the_fewest_zeros_of_all(
    zeros: list[int], finds: list[tuple[int, int]], cap: int
) -> None:
    turns = Turns(len(zeros), lambda position: zeros[position], cap=cap)
    for position, more in finds:
        found = turns.next()
        below = [one for one in zeros if one < cap]
        if not below:
            assert found is None
            return
        assert found is not None
        assert found == (found[0], min(below))
        assert zeros[found[0]] == found[1]
        zeros[position % len(zeros)] += more


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2**62)), max_size=40))
def test_no_two_jobs_have_a_nonce_in_common(taken: list[tuple[int, int]]) -> None:
    """Where a start is drawn again, another one meets it with a chance of nothing."""
    turns = Turns(3, lambda _: -1, cap=64)
    ranges: dict[int, list[tuple[int, int]]] = {0: [], 1: [], 2: []}
    for position, count in taken:
        first = turns.nonces(position, count)
        assert 0 <= first <= first + count <= NONCES
        if sum(size for _, size in ranges[position]) + count < NONCES // 2:
            assert all(
                first >= start + size or first + count <= start for start, size in ranges[position]
            )
        ranges[position].append((first, count))


def test_turns_are_even() -> None:
    turns = Turns(7, lambda _: 3, cap=64)
    counted = Counter(turns.next() for _ in range(700))
    assert set(counted.values()) == {100}


@pytest.mark.parametrize("count", [1, 2**20])
def test_jobs_follow_each_other(count: int) -> None:
    turns = Turns(1, lambda _: -1, cap=64)
    first = turns.nonces(0, count)
    assert turns.nonces(0, count) == first + count
