"""What was refused is asked again once what was in its way has changed, and not before."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import OperationId, PoolerId, new_id
from services.wallet.domain.budget import Books, FeeTerms, Purse
from services.wallet.domain.model import FailureReason
from services.wallet.domain.refusals import (
    LASTING,
    PRICE_LEDGERS,
    Circumstances,
    Refusal,
    mark_of,
    standing,
    stands,
)
from services.wallet.engine import alarms as alarms_module
from services.wallet.engine.alarms import Alarm, Alarms

POOLER = PoolerId(new_id())


def refusal(
    reason: FailureReason,
    *,
    bid: int | None = 900,
    age: float = 0.0,
) -> Refusal:
    """One of the pooler's."""
    return Refusal(
        operation_id=OperationId(new_id()),
        pooler_id=POOLER,
        reason=reason,
        bid=bid,
        age=age,
    )


def now(**changed: Any) -> Circumstances:
    """A quiet network, unless told otherwise."""
    usual: dict[str, Any] = {
        "inclusion_fee": 100,
        "usual_fit": 400_000,
        "is_rent_due": False,
        "is_paused": False,
        "price_stands": 300.0,
    }
    return Circumstances(**usual | changed)


def no_room(_: Refusal) -> bool:
    """A budget that is used up."""
    return False


def room(_: Refusal) -> bool:
    """A budget that has room for everything."""
    return True


@pytest.mark.parametrize(("age", "is_refused"), [(0.0, True), (299.9, True), (300.0, False)])
def test_a_price_above_the_cap_stands_for_a_while_whatever_inclusion_costs(
    age: float, is_refused: bool
) -> None:
    """Nodes may have lied about what a call needs."""
    item = refusal(FailureReason.FEE_CAP, age=age)
    for inclusion_fee in (100, 400_001):
        assert stands(item, now(inclusion_fee=inclusion_fee), has_room=room) is is_refused


def test_a_bid_that_nodes_refused_stands_while_the_network_is_crowded() -> None:
    item = refusal(FailureReason.FEE_CAP, bid=None)
    assert stands(item, now(inclusion_fee=400_001), has_room=room)
    assert not stands(item, now(inclusion_fee=400_000), has_room=room)
    assert not stands(item, now(), has_room=room)


@pytest.mark.parametrize(
    ("reason", "in_its_way"),
    [
        (FailureReason.RENT_DUE, {"is_rent_due": True}),
        (FailureReason.FARM_PAUSED, {"is_paused": True}),
    ],
)
def test_rent_and_pause_stand_for_as_long_as_they_last(
    reason: FailureReason, in_its_way: dict[str, bool]
) -> None:
    assert stands(refusal(reason), now(**in_its_way), has_room=room)
    assert not stands(refusal(reason), now(), has_room=room)


def test_every_lasting_reason_has_a_rule() -> None:
    worst = now(inclusion_fee=10**9, is_rent_due=True, is_paused=True)
    for reason in LASTING:
        assert stands(refusal(reason), worst, has_room=no_room), reason
    for reason in set(FailureReason) - LASTING:
        assert not stands(refusal(reason), worst, has_room=no_room), reason


@given(
    daily=st.integers(min_value=1, max_value=10**7),
    bids=st.lists(st.integers(min_value=1, max_value=10**6), max_size=30),
)
def test_no_more_is_asked_again_than_the_budget_has_room_for(daily: int, bids: list[int]) -> None:
    books = Books(committed={}, obligations={}, treasury=10**12)
    purse = Purse(FeeTerms(daily_per_pooler=daily, reserve=1000), books)
    refusals = [refusal(FailureReason.FEE_BUDGET, bid=bid) for bid in bids]

    def has_room(item: Refusal) -> bool:
        assert item.bid is not None
        return not purse.exceeded({POOLER: item.bid}, plants=[POOLER])

    kept = standing(refusals, now(), has_room=has_room)
    again = [item.bid or 0 for item in refusals if item not in kept]
    # A work and a harvest are kept back for each.
    assert sum(again) + 2000 * max(0, len(again) - 1) <= daily


def test_only_what_still_stands_is_answered_with_the_old_refusal() -> None:
    rent, paused = refusal(FailureReason.RENT_DUE), refusal(FailureReason.FARM_PAUSED)
    more = refusal(FailureReason.RENT_DUE)
    asked = [more, paused, rent]
    assert standing(asked, now(is_rent_due=True), has_room=room) == [rent, more]
    assert standing(asked, now(), has_room=room) == []


def test_a_price_is_believed_for_five_minutes_of_ledgers() -> None:
    assert PRICE_LEDGERS * 5 == 300


def test_a_mark_changes_with_any_of_the_terms() -> None:
    terms = FeeTerms(daily=1, daily_per_pooler=2, reserve=3, rent_daily=4)
    others = [FeeTerms(), FeeTerms(daily=1, daily_per_pooler=2, reserve=3, rent_daily=5)]
    assert mark_of(10, terms) == mark_of(10, FeeTerms(**vars(terms)))
    assert len(mark_of(10, terms)) == 16
    assert len({mark_of(10, terms), mark_of(11, terms), *(mark_of(10, o) for o in others)}) == 4


class Told:
    """A log that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def critical(self, event: str, **fields: Any) -> None:
        """As the log's."""
        self.lines.append((event, fields))

    info = critical


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the alarms tell."""
    log = Told()
    monkeypatch.setattr(alarms_module, "log", log)
    return log


def alarm(cause: str, **details: Any) -> Alarm:
    """One of rent."""
    return Alarm(name="rent", cause=cause, message=f"for {cause}", details=details)


def test_an_alarm_is_told_once_and_its_end_once(told: Told) -> None:
    alarms = Alarms()
    for needed in (3, 4, 5):
        alarms.tell(alarm("budget", needed=needed))
    assert [line[0] for line in told.lines] == ["refused"]
    alarms.tell(alarm("treasury"))
    assert told.lines[-1][1]["cause"] == "treasury"
    assert alarms.message("rent") == "for treasury"
    for _ in range(3):
        alarms.over("rent")
        alarms.over("fees")
    assert [line[0] for line in told.lines] == ["refused", "refused", "no longer refused"]
    assert not alarms.message("rent")


def test_a_budget_stands_while_it_has_no_room() -> None:
    kinds: list[Callable[[Refusal], bool]] = [room, no_room]
    item = refusal(FailureReason.FEE_BUDGET)
    assert [stands(item, now(), has_room=kind) for kind in kinds] == [False, True]
