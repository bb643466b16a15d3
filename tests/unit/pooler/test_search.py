"""The nonce search in one process: what it finds is true, complete and fair."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.hash import leading_zeros, work_hash
from pooler.search import Find, Job, Progress, _bound, search

KEYS = [bytes([number]) * 32 for number in range(1, 8)]
ENTROPY = bytes(range(32))
INDEX = 194_614


def job(*, seconds: float, enough_zeros: int = 64, keys: list[bytes] = KEYS) -> Job:
    """A search for all KEYS."""
    return Job(
        index=INDEX,
        entropy=ENTROPY.hex(),
        keys=[key.hex() for key in keys],
        seconds=seconds,
        enough_zeros=enough_zeros,
    )


def run(work: Job, *, ticks: int) -> list[Find | Progress]:
    """Searches with a clock that moves one second at each look."""
    seconds = itertools.count()
    stop = itertools.count()
    return list(
        search(work, stopped=lambda: next(stop) >= ticks, clock=lambda: float(next(seconds)))
    )


def zeros_of(find: Find) -> int:
    """Zeros by the contract's rule."""
    digest = work_hash(index=INDEX, nonce=find.nonce, entropy=ENTROPY, farmer_key=KEYS[find.target])
    return leading_zeros(digest)


def test_no_time_still_gives_every_farmer_one_nonce() -> None:
    *finds, progress = search(job(seconds=0), stopped=lambda: False)
    assert [find.target for find in finds if isinstance(find, Find)] == list(range(len(KEYS)))
    assert progress == Progress(hashes=len(KEYS))


def test_each_find_is_better_than_the_one_before() -> None:
    found = run(job(seconds=1e9), ticks=70)
    best: dict[int, int] = {}
    for find in found:
        if isinstance(find, Find):
            assert zeros_of(find) > best.get(find.target, -1)
            best[find.target] = zeros_of(find)
    # 41,000 hashes each: fewer than two zeros has a probability of (15/16 + ...)^41000, none.
    assert all(zeros >= 2 for zeros in best.values())


def test_turns_are_dealt_out_evenly() -> None:
    """After n whole rounds every farmer has had n turns: the same number of hashes."""
    *_, progress = run(job(seconds=1e9), ticks=3 * len(KEYS))
    assert progress == Progress(hashes=len(KEYS) + 3 * len(KEYS) * 4096)


def test_who_has_enough_gives_its_turns_to_the_others() -> None:
    found = run(job(seconds=1e9, enough_zeros=2), ticks=10_000)
    assert {find.target for find in found if isinstance(find, Find)} == set(range(len(KEYS)))
    last = {find.target: zeros_of(find) for find in found if isinstance(find, Find)}
    assert all(zeros >= 2 for zeros in last.values())
    assert isinstance(found[-1], Progress)
    assert found[-1].hashes < 10_000 * 4096


def test_it_stops_when_told() -> None:
    *_, progress = search(job(seconds=1e9), stopped=lambda: True)
    assert progress == Progress(hashes=len(KEYS))


def test_two_searches_begin_elsewhere() -> None:
    def nonces() -> Counter[int]:
        found = search(job(seconds=0), stopped=lambda: False)
        return Counter(find.nonce for find in found if isinstance(find, Find))

    assert not nonces() & nonces()


def test_no_farmers_is_no_work() -> None:
    assert list(search(job(seconds=1e9, keys=[]), stopped=lambda: False)) == [Progress(hashes=0)]


@given(st.integers(0, 2**256 - 1), st.integers(-1, 64))
def test_the_bound_separates_by_zeros(number: int, zeros: int) -> None:
    digest = number.to_bytes(32, "big")
    assert (digest < _bound(zeros)) == (leading_zeros(digest) > zeros)


@given(st.integers(0, 63), st.sampled_from([-1, 0, 1]))
def test_the_bound_is_exact_at_its_edges(zeros: int, offset: int) -> None:
    number = min(max(0, 16 ** (63 - zeros) + offset), 2**256 - 1)
    digest = number.to_bytes(32, "big")
    assert (digest < _bound(zeros)) == (leading_zeros(digest) > zeros)


@pytest.mark.parametrize("row", [(1 << 56) - 1])
def test_nonces_wrap_around(row: int) -> None:
    from pooler.search import _Lane  # noqa: PLC0415  (the only test that looks inside)

    lane = _Lane(job(seconds=0), 0)
    lane._row = row
    for find in lane.turn():
        assert 0 <= find.nonce < 1 << 64
        assert zeros_of(find) >= 0
    # All but the first of the sixteen rows came after the wrap.
    assert lane.zeros >= 1
