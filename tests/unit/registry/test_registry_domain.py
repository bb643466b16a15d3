"""The table of a farmer's statuses: what is not in it cannot happen; reasons of errors."""

import pytest

from services.registry.domain import errors
from services.registry.domain.status import (
    TRANSITIONS,
    FarmerEvent,
    FarmerStatus,
    sources,
    target,
)
from tests.support.reasons import reasons_not_listed

S, E = FarmerStatus, FarmerEvent


@pytest.mark.parametrize(
    ("event", "allowed", "end"),
    [
        (E.WALLET_MADE, {S.PROVISIONING}, S.ACTIVE),
        (E.SUSPENDED, {S.ACTIVE, S.SUSPENDED}, S.SUSPENDED),
        (E.RESUMED, {S.ACTIVE, S.SUSPENDED}, S.ACTIVE),
    ],
)
def test_an_event_happens_in_these_statuses_only(
    event: FarmerEvent, allowed: set[FarmerStatus], end: FarmerStatus
) -> None:
    assert set(sources(event)) == allowed
    assert target(event) is end


def test_every_event_has_one_end() -> None:
    for event in FarmerEvent:
        assert target(event) in FarmerStatus
    assert {event for _, event in TRANSITIONS} == set(FarmerEvent)


def test_no_event_leads_back_to_a_farmer_without_a_wallet() -> None:
    assert S.PROVISIONING not in TRANSITIONS.values()
    assert not {status for status, _ in TRANSITIONS} & {S.LEAVING, S.DEPARTED}


def test_every_reason_of_an_error_is_listed_for_callers() -> None:
    assert reasons_not_listed(errors) == []
