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

#: Risk of works that lose a reward only.
LOOSE = 0.01
SIX_SECONDS = ((6, 1.0),)
FACTS = SendFacts(
    works=25,
    ledger=100,
    close_time=1_000,
    now=1_000.0,
    opened_at=760,
    closes_at=1_060,
    planted=60,
    min_gap=1,
    max_gap=58,
    others=1.5,
    growth=0.0,
    learned=Learned(
        pace=Pace(delay=1, per_ledger=200, is_full=True, loss=0.01),
        spans=SIX_SECONDS,
        still_open=(),
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


def openings(still_open: tuple[float, ...]) -> list[tuple[int, float]]:
    """Seconds from which on the next block is open, with the chance of each."""
    chances = (1.0, *still_open, 0.0)
    return [(late, more - less) for late, (more, less) in enumerate(itertools.pairwise(chances))]


def lost_by_trying(
    learned: Learned, *, works: int, seconds_left: int, wait: int, ledgers: int
) -> float:
    """The part of the works that comes too late, added up over all ways."""
    pace, lost = learned.pace, 0.0
    for chance, history in histories(learned, ledgers):
        for late, of_late in openings(learned.still_open):
            waiting = works
            for number, (now, takes) in enumerate(history, start=1):
                is_open = now < seconds_left + (late if now >= seconds_left else 0)
                if number >= wait + pace.delay and takes and is_open:
                    waiting -= min(waiting, pace.per_ledger)
            lost += chance * of_late * waiting / works
    return lost


@settings(max_examples=60, deadline=None)
@given(
    pace=st.builds(
        Pace,
        delay=st.integers(1, 2),
        per_ledger=st.integers(4, 20),
        is_full=st.booleans(),
        loss=st.sampled_from([0.0, 0.01, 0.3, 0.9]),
    ),
    still_open=st.sampled_from([(), (0.5,), (0.9,) * 4 + (0.3,) * 4]),
    works=st.integers(1, 12),
    seconds_left=st.integers(-2, 16),
    wait=st.integers(0, 1),
)
def test_what_is_lost_is_what_every_history_together_loses(
    pace: Pace, still_open: tuple[float, ...], works: int, seconds_left: int, wait: int
) -> None:
    learned = Learned(pace=pace, spans=((5, 0.75), (9, 0.25)), still_open=still_open)
    facts = replace(FACTS, learned=learned, close_time=FACTS.closes_at - seconds_left)
    # No ledger after the fifth is in time: 16 s and 8 s of lateness hold four of 5 s.
    tried = lost_by_trying(learned, works=works, seconds_left=seconds_left, wait=wait, ledgers=5)
    assert odds(facts, works=works, wait=wait).lost == pytest.approx(tried, abs=1e-9)


def test_the_gain_counts_the_gaps_of_works_that_land() -> None:
    facts = with_pace(Pace(delay=1, per_ledger=30, is_full=True, loss=0.0))
    # Three of four works land in ledger 101, the others in 102, with gaps 41 and 42 of 1 to 58.
    now, later = odds(facts, works=40), odds(facts, works=40, wait=1)
    assert now.gain == pytest.approx(3 / 4 * 40 / 57 + 1 / 4 * 41 / 57 + 1.5)
    assert later.gain == pytest.approx(3 / 4 * 41 / 57 + 1 / 4 * 42 / 57 + 1.5)


def test_a_gap_weighs_between_the_blocks_extremes() -> None:
    facts = replace(FACTS, min_gap=10, max_gap=20)
    weights = [chances.gap_weight(facts, 60 + gap) for gap in (0, 10, 15, 20, 90)]
    assert weights == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert chances.gap_weight(replace(facts, max_gap=10), 75) == 0.0


# The strategy ----------------------------------------------------------------------------------


def sent_at(facts: SendFacts, lefts: range = range(240, -60, -6)) -> list[tuple[int, int]]:
    """The seconds before the end at which works leave, and how many."""
    sent = []
    for seconds_left in lefts:
        now = timing.late(at(seconds_left, facts))
        if now:
            sent.append((seconds_left, now))
            facts = replace(facts, works=facts.works - now)
        if not facts.works:
            break
    return sent


@given(
    works=st.integers(1, 1_000),
    loss=st.floats(0.001, 0.2),
    per_ledger=st.sampled_from([200, 738]),
    delay=st.integers(1, 3),
    risk=st.sampled_from([1e-3, 1e-5, 1e-7]),
)
@settings(max_examples=15, deadline=None)
def test_on_average_over_blocks_no_more_is_lost_than_the_risk(
    works: int, loss: float, per_ledger: int, delay: int, risk: float
) -> None:
    """Blocks differ by where their ledgers fall: the last one 1 to 6 seconds before the end."""
    pace = Pace(delay=delay, per_ledger=per_ledger, is_full=True, loss=loss)
    facts = replace(with_pace(pace), works=works, risk=risk, growth=0.001)
    lost = [lost_of_block(facts, range(294 + phase, -60, -6)) for phase in range(1, 7)]
    assert sum(lost) / len(lost) <= risk * (1 + 1e-9)


def lost_of_block(facts: SendFacts, lefts: range) -> float:
    """The expected part of a block's works that comes too late."""
    lost = 0.0
    for seconds_left, count in sent_at(facts, lefts):
        lost += count * odds(at(seconds_left, facts), works=count).lost
    return lost / facts.works


def test_works_wait_while_gap_can_be_gained_safely() -> None:
    """One ledger of works, one in a hundred fails: three ledgers keep to one in 100,000."""
    assert sent_at(FACTS) == [(24, 25)]  # ledgers at 18, 12 and 6 s before the end


def test_works_of_several_ledgers_leave_ledger_by_ledger() -> None:
    """The ledger that they do not fill is the first one, as the gap is the least there."""
    facts = with_pace(Pace(delay=1, per_ledger=738, is_full=True, loss=0.01))
    assert sent_at(replace(facts, works=1_000)) == [(30, 262), (24, 738)]


def test_works_leave_together_until_a_full_ledger_was_seen() -> None:
    facts = with_pace(Pace(delay=1, per_ledger=738, is_full=False, loss=0.01))
    assert sent_at(replace(facts, works=1_000)) == [(30, 1_000)]


def test_single_calls_of_many_leave_early_enough() -> None:
    facts = with_pace(Pace(delay=1, per_ledger=203, is_full=True, loss=0.01))
    sent = sent_at(replace(facts, works=1_000))
    assert sum(count for _, count in sent) == 1_000
    assert sent[0] == (48, 188)  # seven ledgers for what five take


def test_a_slow_service_leaves_earlier() -> None:
    assert sent_at(with_pace(Pace(delay=3, per_ledger=200, is_full=True, loss=0.01))) == [(36, 25)]


def test_without_a_stake_only_the_reward_is_at_risk() -> None:
    """A ledger of gap is then weighed against the chance that the whole reward is lost."""
    assert sent_at(replace(FACTS, risk=LOOSE)) == [(18, 25)]


def test_late_openings_let_works_without_a_stake_wait() -> None:
    """Blocks that were opened 20 s late or more, two hundred times."""
    learned = replace(FACTS.learned, still_open=(0.995,) * 20)
    facts = replace(FACTS, risk=LOOSE, learned=learned)
    # Two more ledgers close less than 20 s after the interval.
    assert sent_at(facts) == [(-6, 25)]


def test_no_stake_relies_on_late_openings_alone() -> None:
    """A thousand blocks that were all late: works still leave with a ledger before the end."""
    learned = replace(FACTS.learned, still_open=(0.999,) * 20)
    ((seconds_left, _),) = sent_at(replace(FACTS, learned=learned))
    assert 6 < seconds_left < 24


def test_nothing_waits_beyond_the_largest_gap_that_weighs() -> None:
    facts = replace(FACTS, max_gap=41)
    assert timing.late(facts)  # ledger 101 is the 41st after the plant
    assert not timing.late(replace(FACTS, max_gap=42))


def test_mining_goes_on_at_the_largest_gap_while_it_gains_zeros() -> None:
    facts = replace(FACTS, max_gap=41, growth=0.001)
    assert not timing.late(facts)
    assert timing.late(at(12, facts))


@pytest.mark.parametrize("risk", [1e-5, LOOSE])
def test_gaps_below_the_smallest_that_weighs_are_waited_out(risk: float) -> None:
    assert not timing.late(replace(FACTS, risk=risk, min_gap=55))


def test_where_all_gaps_weigh_the_same_works_leave_when_they_are_mined() -> None:
    facts = replace(FACTS, min_gap=0, max_gap=0)
    assert timing.late(facts)
    assert not timing.late(replace(facts, growth=0.001))


@given(st.integers(0, 300))
def test_share_sends_from_its_part_of_the_interval_on(passed: int) -> None:
    facts = replace(FACTS, now=FACTS.opened_at + passed)
    assert timing.share(facts) == (25 if passed >= 240 else 0)


@given(seconds_left=st.integers(-20, 0), risk=st.sampled_from([1e-5, LOOSE]))
@settings(max_examples=50, deadline=None)
def test_once_the_end_has_come_works_wait_no_more(seconds_left: int, risk: float) -> None:
    facts = replace(at(seconds_left), risk=risk)
    assert timing.late(facts)
