"""What blocks teach about the next one."""

import random
from itertools import pairwise
from math import ceil, exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.strategies.learning import (
    Landing,
    Opening,
    Records,
    landing_of,
    pace_of,
    spans_of,
    still_open_of,
)
from pooler.strategies.model import Pace


def landing(*counts: int) -> Landing:
    """Works that were sent together and landed like this."""
    return landing_of({0: sum(counts)}, ledgers=_ledgers(*counts))


def _ledgers(*counts: int) -> list[int]:
    return [number for number, count in enumerate(counts, 1) for _ in range(count)]


landings = st.lists(
    st.lists(st.integers(0, 80), max_size=8).map(lambda counts: landing(*counts)), max_size=30
)


def test_landings_count_from_the_ledger_of_the_sending() -> None:
    seen = landing_of({100: 5}, ledgers=[103, 102, 102, 103, 103])
    assert (seen.counts, seen.left) == ((0, 2, 3), (5 - 5, 3, 0))


def test_works_that_leave_ledger_by_ledger_fill_none_but_the_last() -> None:
    """262 leave first, 738 a ledger later: neither ledger had more to take."""
    seen = landing_of({100: 262, 101: 738}, ledgers=[101] * 262 + [102] * 738)
    assert (seen.counts, seen.left, seen.full) == ((262, 738), (0, 0), ())


def test_what_is_sent_while_others_are_on_their_way_fills_no_ledger_before_it_can_land() -> None:
    """Works take two ledgers: those of ledger 101 cannot land in 102."""
    seen = landing_of({100: 262, 101: 738}, ledgers=[102] * 262 + [103] * 738)
    assert (seen.first, seen.full, seen.failed_later) == (2, (), 0)


def test_a_ledger_that_takes_none_while_works_wait_has_failed() -> None:
    seen = landing_of({100: 262, 101: 738}, ledgers=[101] * 262 + [103] * 738)
    assert (seen.counts, seen.failed_later) == ((262, 0, 738), 1)


def test_works_that_never_landed_leave_the_ledgers_that_passed() -> None:
    some = landing_of({100: 2}, ledgers=[101], missing_until=104)
    assert (some.counts, some.failed_later) == ((1, 0, 0, 0), 3)
    none = landing_of({100: 2}, ledgers=[], missing_until=102)
    assert (none.counts, none.first) == ((0, 0), 3)


@given(landings)
def test_a_pace_is_always_possible(seen: list[Landing]) -> None:
    pace = pace_of(seen)
    assert pace.delay >= 1
    assert pace.per_ledger >= 1
    assert 0 < pace.loss < 1


def test_before_any_block_much_is_taken_for_granted() -> None:
    assert pace_of([]) == Pace(delay=2, per_ledger=200, is_full=False, loss=0.02)


@pytest.mark.parametrize(
    ("counts", "per_ledger"),
    [((738, 262), 738), ((203, 203, 203, 203, 188), 203), ((250, 738, 12), 250)],
)
def test_ledgers_that_leave_works_say_what_one_takes(
    counts: tuple[int, ...], per_ledger: int
) -> None:
    pace = pace_of([landing(*counts)] * 5)
    assert (pace.delay, pace.per_ledger, pace.is_full) == (1, per_ledger, True)


@pytest.mark.parametrize(("works", "per_ledger"), [(25, 200), (600, 600)])
def test_works_that_fit_into_a_ledger_say_only_what_it_takes_at_least(
    works: int, per_ledger: int
) -> None:
    pace = pace_of([landing(works)] * 5)
    assert (pace.per_ledger, pace.is_full) == (per_ledger, False)


def test_the_worst_of_the_last_full_ledgers_counts_and_is_forgotten() -> None:
    crowded, usual, alone = landing(90, 40), landing(250, 1), landing(131)
    assert pace_of([usual, crowded, alone, usual, usual]).per_ledger == 90
    assert pace_of([crowded, usual, alone, usual, usual]).per_ledger == 250


def test_a_service_that_always_takes_two_ledgers_is_slow_and_not_unlucky() -> None:
    pace = pace_of([landing(0, 25)] * 50)
    assert pace.delay == 2
    assert pace.loss < 0.02


def test_a_ledger_in_a_hundred_that_takes_none_is_bad_luck_and_no_delay() -> None:
    seen = [landing(25)] * 297 + [landing(0, 25)] * 3
    pace = pace_of(seen)
    assert pace.delay == 1
    assert pace.loss == pytest.approx(5 / 403)


@given(st.sampled_from([0.005, 0.01, 0.05, 0.2]), st.integers(0, 2**32))
def test_the_share_of_failing_ledgers_is_found(loss: float, seed: int) -> None:
    """Within five standard errors, and what is taken for granted beside them."""
    draw = random.Random(seed)
    seen = [_wave(draw, loss) for _ in range(300)]
    pace = pace_of(seen)
    tried = sum(len(one.counts) for one in seen)
    error = 5 * (loss * (1 - loss) / tried) ** 0.5
    assert pace.delay == 1
    assert abs(pace.loss - loss) <= error + 0.03


def test_a_service_that_is_slow_in_one_block_of_ten_is_bad_luck() -> None:
    pace = pace_of(([landing(25)] * 9 + [landing(0, 25)]) * 30)
    assert pace.delay == 1
    assert pace.loss == pytest.approx(32 / 430)


def test_a_network_that_becomes_worse_is_noticed_within_a_hundred_blocks() -> None:
    draw = random.Random(2)
    good = [_wave(draw, 0.01) for _ in range(4_000)]
    bad = [_wave(draw, 0.1) for _ in range(100)]
    assert pace_of(good).loss == pytest.approx(0.01, abs=0.005)
    assert pace_of([*good, *bad]).loss > 0.05


def test_a_bad_day_is_bad_luck() -> None:
    seen = ([landing(25)] * 99 + [landing(0, 25)]) * 10
    assert pace_of([*seen, landing(0, 25), landing(0, 25)]).loss < 0.02


def _wave(draw: random.Random, loss: float) -> Landing:
    empty = 0
    while draw.random() < loss:
        empty += 1
    return landing(*[0] * empty, 25)


def test_spans_are_those_seen_and_one_that_is_slower_than_all() -> None:
    spans = dict(spans_of([5] * 59 + [6] * 40))
    assert spans == {5: 0.59, 6: 0.40, 7: 0.01}


def test_few_spans_teach_nothing() -> None:
    assert dict(spans_of([1] * 2)) == dict(spans_of([]))


@given(st.lists(st.integers(0, 60), max_size=200))
def test_the_chances_of_spans_add_up_to_one(seen: list[int]) -> None:
    assert sum(chance for _, chance in spans_of(seen)) == pytest.approx(1)


def test_records_keep_the_newest() -> None:
    records = Records().with_spans([5] * 1_000).with_spans([6] * 5_000)
    assert records.spans == (6,) * 5_000
    for number in range(1_100):
        records = records.with_opening(Opening(last_closed=number, opened=number + 6))
    assert [one.last_closed for one in records.openings] == list(range(100, 1_100))


@given(
    st.lists(
        st.builds(
            lambda last, span: Opening(last_closed=last, opened=last + span),
            st.integers(-9, 200),
            st.integers(0, 9),
        ),
        max_size=50,
    )
)
def test_a_block_that_is_open_was_open_before(openings: list[Opening]) -> None:
    chances = still_open_of(openings)
    assert all(0 <= later <= before <= 1 for before, later in pairwise((1.0, *chances)))


def test_before_any_block_none_is_taken_to_be_late() -> None:
    assert max(still_open_of([])) == pytest.approx(0)


def test_blocks_that_open_at_once_are_not_taken_to_be_late() -> None:
    """The ledger that opens them closes up to 5 s later, since none closes before."""
    openings = [Opening(last_closed=at - 6, opened=at) for at in range(6)] * 50
    assert still_open_of(openings)[0] < 0.01


def test_what_is_known_for_sure_counts_in_full() -> None:
    openings = [Opening(last_closed=9, opened=10)] * 99
    chances = still_open_of(openings)
    assert chances[9] == pytest.approx(0.99)
    assert chances[10] == pytest.approx(0)


def test_late_openings_are_found_between_the_ledgers() -> None:
    """Exponential with a mean of 7.5 s, seen through ledgers of 6 s that fall anywhere."""
    draw = random.Random(1)
    openings = [_opening(draw) for _ in range(1_000)]
    chances = still_open_of(openings)
    for seconds in (0, 3, 6, 10, 20):
        assert chances[seconds] == pytest.approx(exp(-seconds / 7.5), abs=0.06)


def _opening(draw: random.Random) -> Opening:
    first = draw.randrange(6)
    late = draw.expovariate(1 / 7.5)
    opened = first + 6 * max(0, ceil((late - first) / 6))
    return Opening(last_closed=opened - 6, opened=opened)
