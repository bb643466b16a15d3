"""When works are sent: the odds are exact, the bound holds, and nothing waits for nothing."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pooler.strategies import odds as chances
from pooler.strategies import timing
from pooler.strategies.model import Learned, Pace, SendFacts
from pooler.strategies.odds import odds

SIX_SECONDS = ((6, 1.0),)
FACTS = SendFacts(
    ledger=100,
    close_time=1_000,
    opened_at=760,
    closes_at=1_060,
    planted=60,
    min_gap=1,
    max_gap=58,
    staked=True,
    others=1.5,
    growth=0.0,
    learned=Learned(
        pace=Pace(delay=1, ledgers=1, loss=0.01), spans=SIX_SECONDS, lateness=()
    ),
    risk=1e-5,
    share=0.8,
)  # fmt: skip


def with_pace(pace: Pace, facts: SendFacts = FACTS) -> SendFacts:
    return replace(facts, learned=replace(facts.learned, pace=pace))


def at(seconds_left: int, facts: SendFacts = FACTS) -> SendFacts:
    """The same block when its interval is over in so many seconds."""
    passed = facts.closes_at - seconds_left - facts.close_time
    ledger = facts.ledger + passed // 6
    return replace(facts, close_time=facts.close_time + passed, ledger=ledger)


# The odds --------------------------------------------------------------------------------------


def histories(learned: Learned, ledgers: int) -> Iterator[tuple[float, list[tuple[int, bool]]]]:
    """Every way in which the next ledgers may go, with its chance: close time, and if it takes."""
    taken = ((True, 1 - learned.pace.loss), (False, learned.pace.loss))
    one = list(itertools.product(learned.spans, taken))
    for way in itertools.product(one, repeat=ledgers):
        chance, now, history = 1.0, 0, []
        for (span, of_span), (takes, of_taking) in way:
            chance *= of_span * of_taking
            now += span
            history.append((now, takes))
        yield chance, history


def lost_by_trying(learned: Learned, *, seconds_left: int, wait: int, ledgers: int) -> float:
    """The part of the works that comes too late, added up over all ways."""
    pace, lost = learned.pace, 0.0
    opened = [*learned.lateness, 0]
    for chance, history in histories(learned, ledgers):
        for late in opened:
            waiting = pace.ledgers
            for number, (now, takes) in enumerate(history, start=1):
                is_open = now < seconds_left + (late if now >= seconds_left else 0)
                if number >= wait + pace.delay and takes and is_open and waiting:
                    waiting -= 1
            lost += chance / len(opened) * waiting / pace.ledgers
    return lost


@settings(max_examples=60, deadline=None)
@given(
    pace=st.builds(
        Pace,
        delay=st.integers(1, 2),
        ledgers=st.integers(1, 3),
        loss=st.sampled_from([0.0, 0.01, 0.3, 0.9]),
    ),
    lateness=st.lists(st.integers(0, 12), max_size=2).map(lambda late: tuple(sorted(late))),
    seconds_left=st.integers(-2, 26),
    wait=st.integers(0, 1),
)
def test_what_is_lost_is_what_every_history_together_loses(
    pace: Pace, lateness: tuple[int, ...], seconds_left: int, wait: int
) -> None:
    learned = Learned(pace=pace, spans=((5, 0.75), (9, 0.25)), lateness=lateness)
    facts = replace(FACTS, learned=learned, close_time=FACTS.closes_at - seconds_left)
    # No ledger after the eighth is in time: 26 s and 12 s of lateness hold seven of 5 s.
    tried = lost_by_trying(learned, seconds_left=seconds_left, wait=wait, ledgers=8)
    assert odds(facts, wait=wait).lost == pytest.approx(tried, abs=1e-9)


def test_the_gain_counts_the_gaps_of_works_that_land() -> None:
    facts = with_pace(Pace(delay=1, ledgers=2, loss=0.0))
    # The works land in ledgers 101 and 102, with gaps 41 and 42 of 1 to 58.
    assert odds(facts).gain == pytest.approx((40 / 57 + 41 / 57) / 2 + 1.5)
    assert odds(facts, wait=1).gain == pytest.approx((41 / 57 + 42 / 57) / 2 + 1.5)


def test_a_gap_weighs_between_the_blocks_extremes() -> None:
    facts = replace(FACTS, min_gap=10, max_gap=20)
    weights = [chances.gap_weight(facts, 60 + gap) for gap in (0, 10, 15, 20, 90)]
    assert weights == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert chances.gap_weight(replace(facts, max_gap=10), 75) == 0.0


# The strategy ----------------------------------------------------------------------------------


@given(
    loss=st.floats(0.001, 0.2),
    ledgers=st.integers(1, 5),
    delay=st.integers(1, 3),
    risk=st.sampled_from([1e-3, 1e-5, 1e-7]),
)
@settings(max_examples=50, deadline=None)
def test_works_with_a_stake_leave_before_the_bound_is_broken(
    loss: float, ledgers: int, delay: int, risk: float
) -> None:
    """As the end comes nearer: where the strategy still waits, waiting keeps to the bound."""
    facts = replace(
        with_pace(Pace(delay=delay, ledgers=ledgers, loss=loss)), risk=risk, growth=0.001
    )
    for seconds_left in range(240, 0, -6):
        now = at(seconds_left, facts)
        if timing.late(now):
            break
        assert odds(now, wait=1).lost <= risk
    assert odds(now).lost <= risk or seconds_left == 240


def test_works_wait_while_gap_can_be_gained_safely() -> None:
    """One ledger of works, one in a hundred fails: three ledgers keep to one in 100,000."""
    sent = [left for left in range(60, 0, -6) if timing.late(at(left))]
    assert sent[0] == 24  # ledgers at 18, 12 and 6 s before the end


def test_more_works_leave_earlier() -> None:
    facts = with_pace(Pace(delay=1, ledgers=5, loss=0.01))
    assert next(left for left in range(90, 0, -6) if timing.late(at(left, facts))) == 48


def test_a_slow_service_leaves_earlier() -> None:
    facts = with_pace(Pace(delay=3, ledgers=1, loss=0.01))
    assert next(left for left in range(90, 0, -6) if timing.late(at(left, facts))) == 36


def test_without_a_stake_only_the_reward_is_at_risk() -> None:
    """A ledger of gap is then weighed against the chance that the whole reward is lost."""
    facts = replace(FACTS, staked=False)
    sent = [left for left in range(60, 0, -6) if timing.late(at(left, facts))]
    assert sent[0] == 18


def test_late_openings_let_works_without_a_stake_wait() -> None:
    """Blocks that were opened 20 s late or more, two hundred times."""
    learned = replace(FACTS.learned, lateness=(20,) * 200)
    facts = replace(FACTS, staked=False, learned=learned)
    sent = [left for left in range(60, -30, -6) if timing.late(at(left, facts))]
    assert sent[0] == -6  # two more ledgers close less than 20 s after the interval


def test_two_hundred_late_openings_risk_no_stake() -> None:
    learned = replace(FACTS.learned, lateness=(20,) * 200)
    sent = [
        left
        for left in range(60, -30, -6)
        if timing.late(at(left, replace(FACTS, learned=learned)))
    ]
    assert sent[0] == 18


def test_nothing_waits_beyond_the_largest_gap_that_weighs() -> None:
    facts = replace(FACTS, max_gap=41)
    assert timing.late(facts)  # ledger 101 is the 41st after the plant
    assert not timing.late(replace(FACTS, max_gap=42))


def test_mining_goes_on_at_the_largest_gap_while_it_gains_zeros() -> None:
    facts = replace(FACTS, max_gap=41, growth=0.001)
    assert not timing.late(facts)
    assert timing.late(at(12, facts))


@pytest.mark.parametrize("staked", [True, False])
def test_gaps_below_the_smallest_that_weighs_are_waited_out(staked: bool) -> None:
    assert not timing.late(replace(FACTS, staked=staked, min_gap=55))


def test_where_all_gaps_weigh_the_same_works_leave_when_they_are_mined() -> None:
    facts = replace(FACTS, min_gap=0, max_gap=0)
    assert timing.late(facts)
    assert not timing.late(replace(facts, growth=0.001))


@given(st.integers(0, 300))
def test_share_sends_from_its_part_of_the_interval_on(passed: int) -> None:
    facts = replace(FACTS, close_time=FACTS.opened_at + passed)
    assert timing.share(facts) == (passed >= 240)


@given(seconds_left=st.integers(-20, 0), staked=st.booleans())
@settings(max_examples=50, deadline=None)
def test_once_the_end_has_come_works_wait_no_more(seconds_left: int, staked: bool) -> None:
    facts = replace(at(seconds_left), staked=staked)
    assert timing.late(facts)
