"""A pot is divided to the stroop by what was proven, whatever the order in which it is told."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import PoolerId, new_id
from services.harvest.domain.credits import Chunk, Proven, divide, miner_id

POTS = st.integers(0, 2**70)
PROVEN = st.dictionaries(st.text("GMABC234", min_size=1), st.integers(1, 2**62), max_size=8)
OWN = st.integers(0, 2**62)


@given(pot=POTS, proven=PROVEN, own=OWN)
def test_the_parts_are_the_pot_and_each_is_within_a_stroop(
    pot: int, proven: dict[str, int], own: int
) -> None:
    parts, rest = divide(pot, proven, own)
    assert parts.keys() == proven.keys()
    assert sum(parts.values()) + rest == pot
    whole = sum(proven.values()) + own
    for address, points in proven.items():
        assert abs(parts[address] * whole - pot * points) < whole
    if proven:
        assert abs(rest * whole - pot * own) < whole


@given(pot=POTS, proven=PROVEN, own=OWN)
def test_more_hashes_have_no_smaller_part_and_the_order_does_not_matter(
    pot: int, proven: dict[str, int], own: int
) -> None:
    parts, _ = divide(pot, proven, own)
    assert divide(pot, dict(reversed(proven.items())), own)[0] == parts
    by_points = sorted(proven, key=lambda one: proven[one])
    for fewer, more in pairwise(by_points):
        if proven[fewer] < proven[more]:
            assert parts[fewer] <= parts[more]


def test_of_equal_remainders_the_first_address_goes_first_and_the_pooler_last() -> None:
    assert divide(2, {"GB": 1, "GA": 1, "GC": 1}, 1) == ({"GA": 1, "GB": 1, "GC": 0}, 0)
    assert divide(5, {"GB": 1}, 1) == ({"GB": 3}, 2)
    assert divide(7, {}, 0) == ({}, 7)
    assert divide(7, {"GA": 3}, 0) == ({"GA": 7}, 0)


def test_a_chunk_says_the_same_in_any_order_and_miners_are_a_poolers_own() -> None:
    pooler, other = PoolerId(new_id()), PoolerId(new_id())
    one, two = Proven(address="GA", points=1), Proven(address="GB", points=2)

    def chunk(*miners: Proven) -> bytes:
        return Chunk(
            pooler_id=pooler, block_index=7, number=1, chunks=1, own_points=0, miners=miners
        ).digest

    assert chunk(one, two) == chunk(two, one)
    assert chunk(one) != chunk(two)
    assert chunk() != chunk(one)
    assert miner_id(pooler, "GA") == miner_id(pooler, "GA") != miner_id(other, "GA")
