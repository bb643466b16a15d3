"""What blocks teach about the next one."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.strategies.learning import Landing, Records, landing_of, learn, pace_of, spans_of
from pooler.strategies.model import Pace

landings = st.lists(
    st.lists(st.integers(0, 800), max_size=8).map(lambda counts: Landing(counts=tuple(counts))),
    max_size=30,
)


def test_landings_count_from_the_ledger_of_the_sending() -> None:
    assert landing_of(sent=100, ledgers=[103, 102, 102, 103, 103]).counts == (0, 2, 3)


def test_works_that_never_landed_leave_the_ledgers_that_passed() -> None:
    assert landing_of(sent=100, ledgers=[101], missing_until=104).counts == (1, 0, 0, 0)
    assert landing_of(sent=100, ledgers=[], missing_until=102).counts == (0, 0)


@given(landings, st.integers(1, 1_000))
def test_a_pace_is_always_possible(seen: list[Landing], works: int) -> None:
    pace = pace_of(seen, works=works)
    assert pace.delay >= 1
    assert pace.ledgers >= 1
    assert 0 < pace.loss < 1


def test_before_any_block_much_is_taken_for_granted() -> None:
    assert pace_of([], works=1_000) == Pace(delay=2, ledgers=5, loss=0.02)
    assert pace_of([], works=25).ledgers == 1


def test_multicalls_are_learned_to_take_two_ledgers() -> None:
    pace = pace_of([Landing(counts=(738, 262))] * 5, works=1_000)
    assert (pace.delay, pace.ledgers) == (1, 2)


def test_single_calls_are_learned_to_take_five() -> None:
    pace = pace_of([Landing(counts=(203, 203, 203, 203, 188))] * 5, works=1_000)
    assert (pace.delay, pace.ledgers) == (1, 5)


def test_more_works_are_taken_to_fill_more_ledgers() -> None:
    seen = [Landing(counts=(250,))] * 5
    assert pace_of(seen, works=1_000).ledgers == 4
    assert pace_of(seen, works=10).ledgers == 1


def test_a_few_works_more_or_less_change_nothing() -> None:
    seen = [Landing(counts=(738, 262))] * 5
    assert [pace_of(seen, works=works).ledgers for works in (920, 1_001, 1_090)] == [2, 2, 2]


def test_the_worst_of_the_last_blocks_counts_and_is_forgotten() -> None:
    worst, usual = Landing(counts=(100, 100, 50)), Landing(counts=(250,))
    assert pace_of([worst, *[usual] * 19], works=250).ledgers == 3
    assert pace_of([worst, *[usual] * 20], works=250).ledgers == 1


def test_a_service_that_always_takes_two_ledgers_is_slow_and_not_unlucky() -> None:
    pace = pace_of([Landing(counts=(0, 25))] * 50, works=25)
    assert pace.delay == 2
    assert pace.loss < 0.02


def test_a_ledger_in_a_hundred_that_takes_none_is_bad_luck_and_no_delay() -> None:
    seen = [Landing(counts=(25,))] * 297 + [Landing(counts=(0, 25))] * 3
    pace = pace_of(seen, works=25)
    assert pace.delay == 1
    assert pace.loss == pytest.approx(0.0114, abs=0.001)


@given(st.sampled_from([0.005, 0.01, 0.05, 0.2]), st.integers(0, 2**32))
def test_the_share_of_failing_ledgers_is_found(loss: float, seed: int) -> None:
    """Within five standard errors, and what is taken for granted beside them."""
    draw = random.Random(seed)
    seen = [_wave(draw, loss) for _ in range(300)]
    pace = pace_of(seen, works=25)
    tried = sum(len(landing.counts) for landing in seen)
    error = 5 * (loss * (1 - loss) / tried) ** 0.5
    assert pace.delay == 1
    assert abs(pace.loss - loss) <= error + 0.03


def test_a_service_that_is_slow_in_one_block_of_ten_is_bad_luck() -> None:
    pace = pace_of(([Landing(counts=(25,))] * 9 + [Landing(counts=(0, 25))]) * 30, works=25)
    assert pace.delay == 1
    assert pace.loss == pytest.approx(31 / 380)


def _wave(draw: random.Random, loss: float) -> Landing:
    empty = 0
    while draw.random() < loss:
        empty += 1
    return Landing(counts=(*[0] * empty, 25))


def test_spans_are_those_seen_and_one_that_is_slower_than_all() -> None:
    spans = dict(spans_of([5] * 59 + [6] * 40))
    assert spans == {5: 0.59, 6: 0.40, 9: 0.01}


def test_few_spans_teach_nothing() -> None:
    assert dict(spans_of([1] * 19)) == dict(spans_of([]))


@given(st.lists(st.integers(0, 60), max_size=200))
def test_the_chances_of_spans_add_up_to_one(seen: list[int]) -> None:
    assert sum(chance for _, chance in spans_of(seen)) == pytest.approx(1)


def test_records_keep_the_newest() -> None:
    records = Records().with_spans([5] * 1_000).with_spans([6] * 2_000)
    assert records.spans == (6,) * 2_000
    for number in range(1_100):
        records = records.with_lateness(number)
    assert records.lateness == tuple(range(100, 1_100))


def test_a_block_that_was_opened_in_time_is_not_late() -> None:
    learned = learn(Records().with_lateness(7).with_lateness(-1), works=1)
    assert learned.lateness == (0, 7)
