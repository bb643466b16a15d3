"""Heights and clocks by agreement: whatever single nodes say, honest ones are never outvoted."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.wallet.domain.heights import (
    FEWER_AFTER,
    FRESH,
    FROZEN,
    STEADY,
    TOLERATED_LEDGERS,
    Heights,
    Judgement,
    Standing,
    needed,
)

S = Standing
#: Seconds between two ledgers here, the first ledger, and its close time.
PACE, FIRST, BORN = 5, 1000, 1_700_000_000


def ledger_at(now: float) -> int:
    """The honest newest ledger."""
    return FIRST + int(now // PACE)


def time_of(ledger: int) -> int:
    """When a ledger closed."""
    return BORN + (ledger - FIRST) * PACE


@dataclass(kw_only=True)
class World:
    """Nodes of one honest network, one claim after the other."""

    heights: Heights
    now: float = 0.0

    def honest(self, node: int, *, late: int = 0) -> Judgement:
        """A node says the truth, a few ledgers late."""
        ledger = ledger_at(self.now) - late
        return self.says(node, ledger, time_of(ledger))

    def says(self, node: int, ledger: int, close_time: int | None = None) -> Judgement:
        """A node says this."""
        return self.heights.claim(
            node, ledger, now=self.now, floor=self.heights.floor, close_time=close_time
        )

    def run(self, seconds: int, *tell: Callable[[], object]) -> None:
        """Time passes, and every second each of these tells something."""
        for _ in range(seconds):
            self.now += 1
            for say in tell:
                say()


def world(nodes: int) -> World:
    """Nothing was heard yet."""
    return World(heights=Heights(nodes))


def test_how_many_have_to_show_it() -> None:
    assert [needed(nodes) for nodes in range(1, 8)] == [1, 2, 2, 2, 3, 3, 4]


# One node


def test_a_single_node_is_believed_from_the_start_and_as_the_clock_goes_on() -> None:
    one = world(1)
    for _ in range(120):
        one.now += 1
        assert one.honest(0).standing is S.FINE
        assert one.heights.floor == ledger_at(one.now)


@pytest.mark.parametrize("seconds", [60, 3600, 86_400])
def test_an_outage_is_no_lie(seconds: int) -> None:
    one = world(1)
    one.run(60, lambda: one.honest(0))
    one.now += seconds
    assert one.honest(0).standing is S.FINE
    assert one.heights.floor == ledger_at(one.now)


@pytest.mark.parametrize("extra", [10, 100_000])
def test_a_jump_of_a_single_node_leaves_nothing_behind(extra: int) -> None:
    one = world(1)
    one.run(60, lambda: one.honest(0))
    for _ in range(4):
        one.now += 1
        ledger = ledger_at(one.now) + extra
        assert one.says(0, ledger, time_of(ledger)).standing is S.AHEAD
    one.now += 1
    assert one.honest(0).standing is S.FINE
    assert one.heights.floor == ledger_at(one.now)


def test_a_jump_that_stays_is_believed_in_the_end_and_can_be_taken_back() -> None:
    one = world(1)
    one.run(60, lambda: one.honest(0))
    one.run(int(STEADY) + 5, lambda: one.says(0, ledger_at(one.now) + 50))
    assert one.heights.floor == ledger_at(one.now) + 50
    assert one.honest(0).standing is S.BEHIND
    one.run(int(STEADY) + 5, lambda: one.honest(0))
    assert one.honest(0).standing is S.FINE
    assert one.heights.floor == ledger_at(one.now)


def test_a_jump_that_does_not_go_on_is_never_believed() -> None:
    one = world(1)
    one.run(60, lambda: one.honest(0))
    before = one.heights.floor
    one.run(300, lambda: one.says(0, before + 500))
    # The clock of five minutes explains some of it, but not the whole.
    assert one.heights.floor == before


@pytest.mark.parametrize("ahead", [20, 1000])
def test_a_clock_that_runs_ahead_is_not_believed(ahead: int) -> None:
    one = world(1)
    one.run(60, lambda: one.honest(0))
    one.now += 1
    ledger = ledger_at(one.now)
    assert one.says(0, ledger, time_of(ledger) + ahead).standing is S.AHEAD
    assert one.heights.times.agreed == time_of(ledger)


def test_a_network_that_stands_still_changes_nothing() -> None:
    one = world(3)
    one.run(60, *(lambda node=node: one.honest(node) for node in range(3)))
    head = ledger_at(one.now)
    one.run(600, *(lambda node=node: one.says(node, head) for node in range(3)))
    assert one.heights.floor == head
    assert one.says(2, head + 1).standing is S.FINE
    # One that claims to go on alone is not believed against two that stand still.
    one.run(
        60, lambda: one.says(0, head), lambda: one.says(1, head), lambda: one.says(2, head + 400)
    )
    assert one.heights.floor == head


# Two nodes


def test_of_two_that_contradict_each_other_the_lower_one_counts() -> None:
    two = world(2)
    two.run(60, lambda: two.honest(0), lambda: two.says(1, ledger_at(two.now) + 100_000))
    assert two.heights.floor == ledger_at(two.now)
    assert two.honest(0).standing is S.FINE
    assert two.says(1, ledger_at(two.now) + 100_000).standing is S.AHEAD  # accused by one: no lie


def test_of_two_one_that_stands_still_does_not_hold_up_the_other() -> None:
    two = world(2)
    two.run(60, lambda: two.honest(0), lambda: two.honest(1))
    head = ledger_at(two.now)
    standings = set()
    for _ in range(int(FROZEN + FEWER_AFTER) + 10):
        two.now += 1
        standings.add(two.honest(0).standing)
        two.says(1, head)
    assert standings == {S.FINE}
    assert two.heights.floor == ledger_at(two.now)
    assert two.says(1, head).standing is S.BEHIND


def test_of_two_one_that_falls_far_behind_does_not_turn_the_clock_back() -> None:
    two = world(2)
    two.run(60, lambda: two.honest(0), lambda: two.honest(1))
    two.run(120, lambda: two.honest(0), lambda: two.honest(1, late=100))
    assert two.honest(0).standing is S.FINE
    assert two.honest(1, late=100).standing is S.BEHIND


def test_the_only_one_left_counts_after_a_while() -> None:
    two = world(2)
    two.run(60, lambda: two.honest(0), lambda: two.honest(1))
    two.run(int(FRESH + FEWER_AFTER) + 2, lambda: two.honest(0))
    assert two.heights.floor == ledger_at(two.now)
    assert two.heights.ledgers.witnesses == 1


# Three and more: liars of each kind, wherever they stand


@dataclass(frozen=True)
class Lie:
    """What a liar says at a time of a ledger and its close time."""

    name: str
    tell: Callable[[float, Random], tuple[int, int]]

    def __repr__(self) -> str:
        return self.name


def _plus(extra: int) -> Callable[[float, Random], tuple[int, int]]:
    return lambda now, _: (ledger_at(now) + extra, time_of(ledger_at(now) + extra))


def _clock(extra: int) -> Callable[[float, Random], tuple[int, int]]:
    return lambda now, _: (ledger_at(now), time_of(ledger_at(now)) + extra)


LIES = [
    *(Lie(f"ledgers {extra:+}", _plus(extra)) for extra in (1, 2, 10, 100_000, -10, -900)),
    *(Lie(f"seconds {extra:+}", _clock(extra)) for extra in (2, 20, 1000, -20, -1000)),
    Lie("frozen", lambda _, __: (FIRST + 3, time_of(FIRST + 3))),
    Lie("drifts up", lambda now, _: _plus(int(now // 20))(now, _)),
    Lie("drifts down", lambda now, _: _plus(-int(now // 20))(now, _)),
    Lie("clock drifts", lambda now, _: _clock(int(now // 3))(now, _)),
    Lie("four seconds", lambda now, _: _plus(100_000 if 100 <= now < 104 else 0)(now, _)),
    Lie("alternates", lambda now, _: _plus(50 if int(now) % 2 else -50)(now, _)),
    Lie(
        "anything",
        lambda now, chance: (
            ledger_at(now) + chance.randrange(-200, 200),
            time_of(ledger_at(now)) + chance.randrange(-2000, 2000),
        ),
    ),
]


@settings(deadline=None, max_examples=150)
@given(
    nodes=st.integers(3, 7),
    lies=st.lists(st.sampled_from(LIES), min_size=1, max_size=3),
    seed=st.integers(0, 10**6),
    agree=st.booleans(),
)
def test_an_honest_majority_is_never_outvoted(
    nodes: int, lies: list[Lie], seed: int, agree: bool
) -> None:
    chance, one = Random(seed), world(nodes)
    liars = chance.sample(range(nodes), min(len(lies), (nodes - 1) // 2))
    told = {node: lies[0] if agree else lies[place] for place, node in enumerate(liars)}
    lateness = {node: chance.randrange(TOLERATED_LEDGERS) for node in range(nodes)}
    for second in range(240):
        one.now = float(second)
        for node in chance.sample(range(nodes), nodes):
            if node in told:
                one.says(node, *told[node].tell(one.now, chance))
                continue
            if chance.random() < 0.2:
                continue  # it is not asked now
            judgement = one.honest(node, late=lateness[node] if second > PACE * 2 else 0)
            assert judgement.standing is S.FINE, (second, judgement)
        honest = ledger_at(one.now)
        assert one.heights.floor <= honest
        assert (one.heights.times.agreed or 0) <= time_of(honest)
        if second > FRESH:
            # Within two ledgers, and as old as the last round of questions may be.
            assert one.heights.floor >= honest - TOLERATED_LEDGERS - 1
            assert (one.heights.times.agreed or 0) >= time_of(honest - TOLERATED_LEDGERS - 1)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("extra", [10, 20, 100_000])
def test_a_gross_lie_is_a_contradiction_when_two_others_know_better(place: int, extra: int) -> None:
    three = world(3)
    honest = [node for node in range(3) if node != place]
    three.run(60, *(lambda node=node: three.honest(node) for node in honest))
    judgement = three.says(place, ledger_at(three.now) + extra)
    assert judgement.standing in ({S.AHEAD, S.CONTRADICTED} if extra == 10 else {S.CONTRADICTED})
    assert str(ledger_at(three.now) + extra) in judgement.reason


def test_two_give_one_ledger_one_close_time() -> None:
    three = world(3)
    three.run(60, *(lambda node=node: three.honest(node) for node in (0, 1)))
    ledger = ledger_at(three.now)
    assert three.says(2, ledger, time_of(ledger) - 20).standing is S.CONTRADICTED
    assert three.says(2, ledger, time_of(ledger)).standing is S.FINE
    # The first of them is not accused by the second alone.
    three.now += PACE
    ledger = ledger_at(three.now)
    assert three.says(0, ledger, time_of(ledger) - 2).standing is S.FINE
    assert three.honest(1).standing is S.FINE
    assert three.honest(2).standing is S.FINE
    assert three.says(0, ledger, time_of(ledger) - 2).standing is S.CONTRADICTED


def test_what_two_of_three_agree_on_falls_when_two_of_three_say_so_for_a_while() -> None:
    three = world(3)

    def lie(node: int) -> Callable[[], Judgement]:
        return lambda: three.says(node, ledger_at(three.now) + 5000)

    def tell(node: int) -> Callable[[], Judgement]:
        return lambda: three.honest(node)

    three.run(60, tell(0), tell(1), tell(2))
    three.run(10, tell(0), lie(1), lie(2))
    assert three.heights.floor == ledger_at(three.now) + 5000
    three.run(int(STEADY) + 10, tell(0), tell(1), lie(2))
    assert three.heights.floor == ledger_at(three.now)
    assert three.honest(0).standing is S.FINE


def test_ledgers_may_come_several_in_a_second_as_several_nodes_show() -> None:
    three = world(3)
    three.run(60, *(lambda node=node: three.honest(node) for node in range(3)))
    base, since = ledger_at(three.now), three.now
    for _ in range(200):
        three.now += 0.25
        ledger = base + int((three.now - since) * 4)
        for node in range(3):
            three.says(node, ledger)
        assert three.heights.floor == ledger
