"""The newest state of the chain: what may be taken up by it, and for how long it counts."""

from dataclasses import replace
from typing import Any, cast

import pytest

from services.wallet.domain.errors import ChainUnknownError
from services.wallet.domain.model import OperationKind
from services.wallet.engine.chain_view import ChainState, ChainView
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.operations import Wanted
from tests.support.signing import BLOCK, CLOSE_TIME, LEDGER, LIMITS, chain_state

K = OperationKind
#: Seconds of a block here, and the time of its opening.
SECONDS, OPENED = 300, CLOSE_TIME - 60


def before_the_first_block() -> ChainState:
    state = chain_state(current=0)
    return replace(
        state,
        farm=replace(state.farm, block=None),
        head=replace(state.head, current_block=None, plantable_block=0),
    )


@pytest.mark.parametrize("kind", K)
@pytest.mark.parametrize(("block", "is_ahead"), [(BLOCK, False), (BLOCK + 1, True)])
def test_only_a_plant_can_be_ahead_of_its_block(
    kind: OperationKind, block: int, is_ahead: bool
) -> None:
    assert chain_state().is_ahead(kind, block) is (is_ahead and kind is K.PLANT)


def test_a_block_is_open_when_it_is_the_running_one_and_was_planted() -> None:
    state = chain_state()
    assert state.is_open(BLOCK)
    assert not state.is_open(BLOCK - 1)
    assert not state.is_open(BLOCK + 1)
    unopened = replace(state, farm=replace(state.farm, block=None))
    assert not unopened.is_open(BLOCK)


@pytest.mark.parametrize(
    ("after", "pace", "has_block", "soon"),
    [
        # The next ledger is expected after the shortest time of late.
        (294, 5, True, BLOCK),
        (295, 5, True, BLOCK + 1),
        (299, 0, True, BLOCK),
        # A block that nobody has planted is over: the next plant opens another one.
        (10, 5, False, BLOCK + 1),
    ],
)
def test_the_block_of_the_next_ledger(after: int, pace: int, has_block: bool, soon: int) -> None:
    state = chain_state()
    farm = replace(state.farm, block=state.farm.block if has_block else None)
    ledger = replace(state.ledger, close_time=OPENED + after)
    assert replace(state, ledger=ledger, farm=farm, pace=pace).plantable_soon == soon


def test_while_calls_wait_only_what_is_over_is_taken_up() -> None:
    assert chain_state().over() == Wanted(
        ledger=LEDGER, plant_until=BLOCK - 1, work_until=BLOCK - 1, harvest_before=0
    )
    # Before the first block nothing is over.
    first = before_the_first_block().over()
    assert (first.plant_until, first.harvest_before) == (-1, 0)
    assert first.work_until < 0


def wanted(current: int, *, life: int, pace: int, only_urgent: bool) -> Wanted:
    state = chain_state(current=current)
    limits = replace(state.limits, temporary_ledgers=life)
    return replace(state, limits=limits, pace=pace).wanted(only_urgent=only_urgent)


def test_all_harvests_are_taken_up_while_nothing_is_urgent() -> None:
    assert wanted(900, life=17_280, pace=5, only_urgent=False) == Wanted(
        ledger=LEDGER, plant_until=900, work_until=900, harvest_before=900
    )
    first = before_the_first_block().wanted()
    assert (first.plant_until, first.harvest_before) == (0, first.work_until)
    assert first.work_until < 0


@pytest.mark.parametrize(
    ("life", "pace", "blocks"),
    [
        # A pail lives for 288 blocks of 300 s; after four fifths of them its harvest is urgent.
        (17_280, 5, 230),
        (17_280, 6, 276),
        # A pace that is not known is one ledger a second at least.
        (17_280, 0, 45),
        (17_280, 1, 45),
        (300, 5, 4),
    ],
)
def test_while_others_are_urgent_harvests_wait_until_they_expire_soon(
    life: int, pace: int, blocks: int
) -> None:
    found = wanted(900, life=life, pace=pace, only_urgent=True)
    assert found == replace(
        wanted(900, life=life, pace=pace, only_urgent=False), harvest_before=900 - blocks
    )


@pytest.mark.parametrize("kind", K)
def test_a_kind_bids_what_the_network_asks_or_waits_for_a_quiet_ledger(
    kind: OperationKind,
) -> None:
    bid = chain_state().bid(kind, BLOCK, LIMITS)
    is_patient = kind in {K.HARVEST, K.OPEN_CHANNEL, K.TOP_UP, K.DATA_ENTRY, K.CLOSE_ACCOUNT}
    assert bid.inclusion_fee == (100 if is_patient else 200)
    assert (bid.max_time, bid.max_fee) == (CLOSE_TIME + LIMITS.lifetime, LIMITS.max_fee)


# For how long a state counts


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """As the clock's."""
        return self.now


def view(*wakeups: Wakeup) -> tuple[ChainView, Clock]:
    clock = Clock()
    return ChainView(cast(Any, clock), *(wakeups or (Wakeup(),))), clock


def test_nothing_is_known_at_first() -> None:
    found, _ = view()
    assert (found.newest, found.is_fresh, found.quiet) == (None, False, 0.0)
    with pytest.raises(ChainUnknownError) as caught:
        _ = found.current
    assert caught.value.retry_after == 1.0
    # That a node answers says nothing of what it has not shown.
    found.heard()
    assert not found.is_fresh


def test_a_state_counts_for_ten_seconds_after_the_last_answer() -> None:
    found, clock = view()
    found.publish(state := chain_state())
    clock.now += 9.9
    assert found.is_fresh
    found.heard()
    clock.now += 9.9
    assert found.current is state
    clock.now += 0.1
    assert not found.is_fresh
    with pytest.raises(ChainUnknownError):
        _ = found.current
    # It stays the newest one that was seen.
    assert found.newest is state


def test_all_who_wait_for_a_ledger_are_woken() -> None:
    changed, other = Wakeup(), Wakeup()
    found, _ = view(changed, other)
    assert found.changed is changed
    found.publish(chain_state())
    assert (changed.count, other.count) == (1, 1)
    found.heard()
    assert changed.count == 1


def test_nobody_need_ask_as_long_as_no_ledger_can_follow() -> None:
    found, clock = view()
    found.publish(replace(chain_state(), pace=5))
    first = found.quiet
    assert 0 < first < 5
    clock.now += 1
    # An answer with nothing new does not begin the time anew.
    found.heard()
    assert found.quiet == pytest.approx(first - 1)
    clock.now += 10
    assert found.quiet < 0


@pytest.mark.parametrize("how", ["forget", "lose"])
def test_a_state_that_was_a_lie_or_of_another_chain_counts_no_more(how: str) -> None:
    found, _ = view()
    found.publish(chain_state())
    getattr(found, how)()
    assert not found.is_fresh
    assert (found.newest is None) is (how == "forget")
    assert found.quiet == 0.0 or how == "lose"
