"""Each limit of heights and clocks: the last value that it allows, and the first one beyond."""

import pytest

from services.wallet.domain.heights import Heights, Line, Standing

#: A node, what it shows, and when.
Heard = tuple[int, int, float]
S = Standing


def ledgers(nodes: int, *heard: Heard) -> Line:
    """Return a line as for ledgers, which has heard this."""
    return told(Line(nodes, pace=None, late=2), *heard)


def times(nodes: int, *heard: Heard) -> Line:
    """Return a line as for close times, which has heard this."""
    return told(Line(nodes, pace=1.0, late=60), *heard)


def told(line: Line, *heard: Heard) -> Line:
    for node, value, now in heard:
        line.hear(node, value, now)
    return line


# What the clock allows


def test_nothing_is_known_before_the_first_answer() -> None:
    assert (ledgers(1).agreed, ledgers(1).witnesses, ledgers(1).limit(5)) == (None, 0, float("inf"))
    assert Heights(2).floor == 0


@pytest.mark.parametrize(("nodes", "at_once", "later"), [(1, 1002, 1062), (2, 1002, 1008)])
def test_ledgers_may_come_at_any_pace_at_first(nodes: int, at_once: int, later: int) -> None:
    line = ledgers(nodes, *((node, 1000, 0) for node in range(nodes)))
    assert (line.limit(0), line.limit(3)) == (at_once, later)


@pytest.mark.parametrize(
    ("heard", "now", "limit"),
    [
        # Less than ten seconds tell no pace, ten seconds do: half as fast again is allowed.
        ([(0, 1000, 0), (0, 1010, 9)], 11, 1010 + 2 * 20 + 2),
        ([(0, 1000, 0), (0, 1010, 10)], 12, 1010 + 2 * 1.5 + 2),
        # Only the last minute counts, from its first second on.
        ([(0, 1000, 0), (0, 1020, 1), (0, 1080, 61)], 71, 1080 + 10 * 1.5 + 2),
        ([(0, 1000, 0), (0, 1090, 60), (0, 1092, 61)], 71, 1092 + 10 * 20 + 2),
        # A ledger that was known already tells nothing.
        ([(0, 1000, 0), (0, 1000, 10), (0, 1010, 20)], 30, 1010 + 10 * 0.75 + 2),
    ],
)
def test_the_pace_of_ledgers_is_found_out(heard: list[Heard], now: float, limit: float) -> None:
    assert ledgers(1, *heard).limit(now) == limit


def test_a_clock_is_given_more_time_until_nine_values_are_known() -> None:
    line = times(1)
    for now in range(9):
        line.hear(0, 1000 + now, now)
        assert line.tolerance == (15 if now < 8 else 3)
        assert line.limit(now + 0.5) == 1000 + now + 0.5 + line.tolerance


def test_the_clock_is_that_of_the_values_that_came_earliest() -> None:
    assert times(1, (0, 1000, 0.5), (0, 1001, 5)).limit(10) == 1000 + 9.5 + 15


def test_the_clock_forgets_all_but_the_last_64_values() -> None:
    late = [(0, 1000 + 3 * count - 2, 3.0 * count) for count in range(1, 65)]
    assert times(1, (0, 1000, 0), *late[:63]).limit(189) == 1189 + 3
    assert times(1, (0, 1000, 0), *late).limit(192) == 1190 + 3


def test_the_clock_forgets_what_is_older_than_ten_minutes() -> None:
    line = times(1, (0, 1000, 0), (0, 1598, 600))
    assert line.limit(600) == 1600 + 15
    assert told(line, (0, 1599, 601)).limit(601) == 1599 + 15


# Which nodes count


@pytest.mark.parametrize(
    ("nodes", "heard", "agreed", "witnesses"),
    [
        # One of three is not enough, whatever it shows.
        (3, [(0, 1000, 0)], None, 0),
        # Two that nearly agree are enough, two that differ wait for the third.
        (3, [(0, 1002, 0), (1, 1000, 0)], 1000, 2),
        (3, [(0, 1003, 0), (1, 1000, 0)], None, 0),
        (3, [(0, 1010, 0), (1, 1000, 0), (2, 1001, 0)], 1001, 2),
        # Two that differ wait for ten seconds.
        (3, [(0, 1003, 0), (1, 1000, 0), (0, 1003, 9)], None, 0),
        (3, [(0, 1003, 0), (1, 1000, 0), (0, 1003, 10)], 1000, 2),
        (3, [(0, 1003, 3), (1, 1000, 3), (0, 1003, 12)], None, 0),
        # Once a value counts, nobody waits for the third any more.
        (3, [(0, 1000, 0), (1, 1000, 0), (0, 1020, 5), (1, 1003, 6)], 1003, 2),
        # A node that was not heard for 15 s, and nine more seconds: the other one is not enough.
        (2, [(0, 1000, 0), (1, 1000, 0), (0, 1003, 15), (0, 1005, 24)], 1000, 2),
        (2, [(0, 1000, 0), (1, 1000, 0), (0, 1003, 15), (0, 1005, 25)], 1005, 1),
        # A node is waited for from the first answer on.
        (2, [(0, 1000, 3), (0, 1001, 12)], None, 0),
        (2, [(0, 1000, 3), (0, 1001, 13)], 1001, 1),
    ],
)
def test_a_value_counts_when_enough_nodes_show_it(
    nodes: int, heard: list[Heard], agreed: int | None, witnesses: int
) -> None:
    line = ledgers(nodes, *heard)
    assert (line.agreed, line.witnesses) == (agreed, witnesses)


@pytest.mark.parametrize(("now", "agreed"), [(15, 1000), (16, 1016)])
def test_a_node_that_does_not_rise_counts_for_15_seconds(now: int, agreed: int) -> None:
    line = ledgers(2, (0, 1000, 0), (1, 1000, 0))
    for second in range(1, now + 1):
        told(line, (1, 1000, second), (0, 1000 + second, second))
    assert line.agreed == agreed


def test_five_nodes_stand_still_only_when_three_of_them_do() -> None:
    line = ledgers(5, *((node, 1000, 0) for node in range(4)))
    for second in range(1, 17):
        told(line, *((node, 1000, second) for node in (2, 3)))
        told(line, *((node, 1000 + second, second) for node in (0, 1)))
    assert line.agreed == 1016


def test_others_at_a_height_are_counted_when_they_were_heard_lately() -> None:
    line = ledgers(4, (0, 1000, 0), (1, 1005, 10), (2, 1006, 10), (3, 1007, 10))
    assert line.others_at(3, 1006, 15) == 3
    assert line.others_at(3, 1005, 15) == 2
    assert line.others_at(3, 1006, 16) == 2
    assert line.others_at(1, 1006, 16) == 1
    assert line.others_at(0, 1006, 26) == 0


# Jumps that the clock does not explain


@pytest.mark.parametrize(
    ("heard", "agreed"),
    [
        # A little behind is no jump down: the higher value stays.
        ([(997, 1), (998, 31)], 1000),
        ([(996, 1), (997, 31)], 997),
        # The limit itself is no jump, one more is.
        ([(1022, 1)], 1022),
        ([(1023, 1)], 1000),
        # A jump has to go on for 30 s, and has to rise.
        ([(5000, 1), (5001, 30)], 1000),
        ([(5000, 1), (5001, 31)], 5001),
        ([(5000, 1), (5000, 31)], 1000),
        ([(5000, 1), (5000, 31), (5001, 32)], 5001),
        # It may not fall meanwhile, and may not rise faster than ledgers ever do.
        ([(5000, 1), (5002, 10), (5001, 11), (5003, 31)], 1000),
        ([(5000, 1), (5002, 10), (5001, 11), (5003, 41)], 5003),
        ([(5000, 1), (5615, 31)], 5615),
        ([(5000, 1), (5616, 31)], 1000),
        # What goes on from before ends it.
        ([(5000, 1), (1001, 2), (5001, 31)], 1001),
        # A second jump begins at its own first value.
        ([(5000, 1), (5010, 31), (5100, 32)], 5010),
    ],
)
def test_a_jump_of_a_single_node_counts_once_it_is_steady(
    heard: list[tuple[int, float]], agreed: int
) -> None:
    line = ledgers(1, (0, 1000, 0), *((0, value, now) for value, now in heard))
    assert line.agreed == agreed


@pytest.mark.parametrize(("value", "agreed"), [(5045, 5045), (5046, 1000)])
def test_a_jump_of_the_clock_may_rise_by_a_second_each_second(value: int, agreed: int) -> None:
    assert times(1, (0, 1000, 0), (0, 5000, 1), (0, value, 31)).agreed == agreed


def test_a_jump_that_two_nodes_show_counts_at_once_and_tells_no_pace() -> None:
    line = ledgers(2, (0, 1000, 0), (1, 1000, 0), (0, 5000, 20), (1, 5000, 20))
    assert (line.agreed, line.limit(22)) == (5000, 5000 + 2 * 2 + 2)


def test_a_jump_begins_anew_after_half_of_the_nodes_went_on_from_before() -> None:
    line = ledgers(2, (0, 1000, 0), (1, 1000, 0), (0, 900, 1), (1, 900, 1))
    told(line, (0, 1001, 2), (0, 901, 3), (1, 901, 17), (0, 902, 18), (1, 902, 31), (0, 902, 31))
    assert line.agreed == 1000
    assert told(line, (0, 903, 33), (1, 903, 33)).agreed == 903


# What one answer is worth


def judged(heights: Heights, ledger: int, time: int | None, *, now: float, floor: int = 0) -> S:
    return heights.claim(0, ledger, now=now, floor=floor, close_time=time).standing


def five(*, now: float = 0) -> Heights:
    """Return what nodes 1 to 4 of five have said: ledger 1000 of second 2000."""
    heights = Heights(5)
    for node in range(1, 5):
        heights.claim(node, 1000, now=now, floor=0, close_time=2000)
    return heights


@pytest.mark.parametrize(
    ("ledger", "standing"),
    [
        (997, S.BEHIND),
        (998, S.FINE),
        (1002, S.FINE),
        (1003, S.AHEAD),
        (1012, S.AHEAD),
        (1013, S.CONTRADICTED),
    ],
)
def test_ledgers_are_judged_by_what_counted_before_the_question(
    ledger: int, standing: Standing
) -> None:
    assert judged(five(), ledger, None, now=0, floor=1000) is standing


def test_no_ledger_is_behind_what_no_longer_counts() -> None:
    assert judged(five(), 997, None, now=0, floor=999) is S.FINE
    assert judged(five(), 998, None, now=0, floor=5000) is S.FINE
    assert judged(five(), 997, None, now=0, floor=5000) is S.BEHIND


@pytest.mark.parametrize(
    ("time", "standing"),
    [
        (1939, S.BEHIND),
        (1940, S.FINE),
        (2015, S.FINE),
        (2016, S.AHEAD),
        (2075, S.AHEAD),
        (2076, S.CONTRADICTED),
    ],
)
def test_close_times_are_judged_by_the_clock_of_the_others(time: int, standing: Standing) -> None:
    assert judged(five(), 1001, time, now=0) is standing


def test_three_of_five_have_to_know_better() -> None:
    heights = five()
    for node in (1, 2):
        heights.claim(node, 1003, now=16, floor=0)
    # The two others were not heard of for 16 s: what node 0 says may be true.
    assert judged(heights, 5000, None, now=16) is S.AHEAD
    heights.claim(3, 1003, now=16, floor=0)
    assert judged(heights, 5000, None, now=16) is S.CONTRADICTED


@pytest.mark.parametrize(
    ("others", "standing"),
    [
        ([2000, 2000, 2001], S.FINE),
        ([2000, 2000, 2000], S.CONTRADICTED),
        ([2001, 2000, 2000, 2000], S.CONTRADICTED),
        ([2001, 2001, 2000, 2000], S.FINE),
    ],
)
def test_three_of_five_have_to_give_a_ledger_one_other_close_time(
    others: list[int], standing: Standing
) -> None:
    heights = Heights(5)
    for node, time in enumerate(others, start=1):
        heights.claim(node, 1000, now=0, floor=0, close_time=time)
    assert judged(heights, 1000, 2002, now=0) is standing


@pytest.mark.parametrize(("between", "standing"), [(15, S.CONTRADICTED), (16, S.FINE)])
def test_close_times_of_the_last_16_ledgers_are_compared(between: int, standing: Standing) -> None:
    heights = five()
    for number in range(1, between + 1):
        heights.claim(1, 1000 + number, now=number, floor=0, close_time=2000 + number)
    assert judged(heights, 1000, 1999, now=between) is standing
