"""What becomes of a delivery: its states, when it is tried again, when that ends."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.registry.domain.deliveries import (
    DELIVERY_EDGES,
    LONGEST_REST,
    PAUSES,
    Attempt,
    DeliveryEvent,
    DeliveryState,
    Outcome,
    Verdict,
    after,
    disables,
    judge,
)
from services.registry.domain.notifications import Kind, Notification

S, E = DeliveryState, DeliveryEvent
ID = UUID("0190a5f0-0000-7000-8000-000000000001")
DAY = 86_400.0
GIVE_UP = 3 * DAY


def attempt(number: int = 1, *, age: float = 0.0, kind: Kind = Kind.PAYOUT_MADE) -> Attempt:
    return Attempt(
        webhook_id=ID,
        attempts=number,
        url="https://hooks.example.com/",
        key_name="",
        owner_id=ID,
        age=age,
        notification=Notification(
            number=1,
            id=ID,
            kind=kind.value,
            pooler_id=None,
            farmer_id=None,
            happened_at=datetime(2026, 1, 1, tzinfo=UTC),
            facts={},
        ),
    )


def test_what_has_ended_never_changes() -> None:
    ends = {S.DELIVERED, S.FAILED, S.CANCELLED}
    assert not {state for state, _ in DELIVERY_EDGES} & ends
    assert set(DELIVERY_EDGES.values()) == {S.QUEUED, S.SENDING, *ends}
    assert {event for _, event in DELIVERY_EDGES} == set(E)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_an_answer_of_success_ends_it(status: int) -> None:
    verdict = judge(Outcome(status=status), attempt(), give_up=GIVE_UP)
    assert verdict == Verdict(event=E.TAKEN)
    assert after(verdict.event) is S.DELIVERED
    assert Outcome(status=status).told == ""


@pytest.mark.parametrize("status", [0, 100, 199, 300, 301, 302, 307, 400, 404, 429, 500, 503])
def test_every_other_answer_is_tried_again(status: int) -> None:
    verdict = judge(
        Outcome(status=status, error="" if status else "no"), attempt(), give_up=GIVE_UP
    )
    assert verdict == Verdict(event=E.REFUSED, pause=PAUSES[0])
    assert after(verdict.event) is S.QUEUED
    assert Outcome(status=status, error="" if status else "no").told


def test_pauses_grow_and_end_with_three_days() -> None:
    assert sorted(PAUSES) == list(PAUSES)
    age, pauses = 0.0, []
    for number in range(1, 100):
        verdict = judge(Outcome(status=500), attempt(number, age=age), give_up=GIVE_UP)
        if verdict.event is E.GIVEN_UP:
            break
        pauses.append(verdict.pause)
        age += verdict.pause
    assert pauses[: len(PAUSES)] == list(PAUSES)
    assert set(pauses[len(PAUSES) :]) == {PAUSES[-1]}
    assert GIVE_UP - PAUSES[-1] < age <= GIVE_UP
    assert 10 < len(pauses) < 30


def test_pauses_are_those_that_receivers_are_told() -> None:
    """docs/notifications.md names them."""
    minute, hour = 60.0, 3600.0
    assert PAUSES[:5] == (5.0, 30.0, 2 * minute, 10 * minute, 30 * minute)
    assert PAUSES[5:] == (hour, 2 * hour, 4 * hour, 8 * hour)


def test_the_last_attempt_may_be_due_at_the_very_end() -> None:
    for late, event in ((0.0, E.REFUSED), (0.001, E.GIVEN_UP)):
        tried = attempt(age=GIVE_UP - PAUSES[0] + late)
        assert judge(Outcome(status=500), tried, give_up=GIVE_UP).event is event


def test_what_ends_a_delivery_has_no_pause() -> None:
    assert judge(Outcome(status=200), attempt(), give_up=GIVE_UP).pause == 0.0


def test_the_reason_of_a_failure_is_the_error_or_else_the_status() -> None:
    assert Outcome(error="no answer").told == "no answer"
    assert Outcome(status=500, error="too long").told == "too long"
    assert Outcome(status=500).told == "HTTP 500"


def test_a_receiver_may_ask_for_rest_but_not_for_long() -> None:
    for asked, pause in ((0.0, PAUSES[0]), (60.0, 60.0), (1e9, LONGEST_REST)):
        outcome = Outcome(status=503, retry_after=asked)
        assert judge(outcome, attempt(), give_up=GIVE_UP).pause == pause


def test_who_is_gone_is_asked_nothing_any_more() -> None:
    verdict = judge(Outcome(status=410), attempt(), give_up=GIVE_UP)
    assert verdict.event is E.GIVEN_UP
    assert disables(verdict, attempt(), failing_for=0.0, give_up=GIVE_UP) == verdict.disables != ""


def test_a_test_is_tried_once_and_disables_nothing() -> None:
    test = attempt(kind=Kind.TEST)
    verdict = judge(Outcome(status=500), test, give_up=GIVE_UP)
    assert verdict == Verdict(event=E.GIVEN_UP)
    assert disables(verdict, test, failing_for=10 * DAY, give_up=GIVE_UP) == ""


@pytest.mark.parametrize(
    ("verdict", "failing_for", "is_disabled"),
    [
        (Verdict(event=E.GIVEN_UP), 2 * DAY, True),
        (Verdict(event=E.GIVEN_UP), 1.5 * DAY, True),
        (Verdict(event=E.GIVEN_UP), 1.5 * DAY - 1, False),
        (Verdict(event=E.GIVEN_UP), DAY, False),
        (Verdict(event=E.REFUSED, pause=5.0), 9 * DAY, False),
        (Verdict(event=E.TAKEN), 0.0, False),
    ],
)
def test_a_webhook_is_disabled_when_something_was_given_up_and_nothing_arrived_for_days(
    verdict: Verdict, failing_for: float, is_disabled: bool
) -> None:
    found = disables(verdict, attempt(9, age=GIVE_UP), failing_for=failing_for, give_up=GIVE_UP)
    assert bool(found) is is_disabled
