"""The table of a farmer's statuses: what is not in it cannot happen; reasons of errors."""

import pytest

from services.registry.domain import errors
from services.registry.domain.status import (
    TRANSITIONS,
    FarmerEvent,
    FarmerStatus,
    PoolerStage,
    pooler_sources,
    pooler_target,
    sources,
    target,
)
from tests.support.reasons import reasons_of

S, E, P = FarmerStatus, FarmerEvent, PoolerStage


@pytest.mark.parametrize(
    ("event", "allowed", "end"),
    [
        (E.WALLET_MADE, {S.PROVISIONING}, S.ACTIVE),
        (E.SUSPENDED, {S.ACTIVE, S.SUSPENDED, S.LEAVING}, S.SUSPENDED),
        (E.RESUMED, {S.ACTIVE, S.SUSPENDED}, S.ACTIVE),
        (E.LEAVES, {S.ACTIVE, S.SUSPENDED, S.LEAVING}, S.LEAVING),
        (E.STAYS, {S.LEAVING}, S.ACTIVE),
        (E.EMPTIED, {S.LEAVING}, S.CLOSING),
        (E.REOPENED, {S.CLOSING}, S.LEAVING),
        (E.CLOSED, {S.CLOSING}, S.DEPARTED),
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
    assert S.DEPARTED not in {status for status, _ in TRANSITIONS}


@pytest.mark.parametrize(
    ("event", "allowed", "end"),
    [
        (E.LEAVES, {P.FARMING, P.LEAVING}, P.LEAVING),
        (E.STAYS, {P.LEAVING}, P.FARMING),
        (E.EMPTIED, {P.LEAVING}, P.CLOSING),
        (E.REOPENED, {P.CLOSING}, P.LEAVING),
        (E.CLOSED, {P.CLOSING}, P.DEPARTED),
    ],
)
def test_a_pooler_leaves_in_these_stages_only(
    event: FarmerEvent, allowed: set[PoolerStage], end: PoolerStage
) -> None:
    assert set(pooler_sources(event)) == allowed
    assert pooler_target(event) is end


#: What callers decide by.
REASONS = {
    errors.PoolerNotFoundError: "POOLER_NOT_FOUND",
    errors.FarmerNotFoundError: "FARMER_NOT_FOUND",
    errors.PoolerExistsError: "POOLER_EXISTS",
    errors.PoolerLeavingError: "POOLER_LEAVING",
    errors.PoolerStageError: "POOLER_STAGE",
    errors.LeavingNotYoursError: "LEAVING_NOT_YOURS",
    errors.PoolerSuspendedError: "POOLER_SUSPENDED",
    errors.PoolFullError: "POOL_FULL",
    errors.SelfJoinOffError: "SELF_JOIN_OFF",
    errors.NotOpenToJoinError: "NOT_OPEN_TO_JOIN",
    errors.SelfJoinLimitError: "SELF_JOIN_LIMIT",
    errors.SelfJoinOwnerLimitError: "SELF_JOIN_OWNER_LIMIT",
    errors.MaxFarmersTooLowError: "MAX_FARMERS_TOO_LOW",
    errors.PayoutAddressNotSetError: "PAYOUT_ADDRESS_NOT_SET",
    errors.StakeNotAgreedError: "STAKE_NOT_AGREED",
    errors.TermsNotFoundError: "TERMS_NOT_FOUND",
    errors.TermsChangedError: "TERMS_CHANGED",
    errors.FeeTooHighError: "FEE_TOO_HIGH",
    errors.FarmerStatusError: "FARMER_STATUS",
    errors.RequestIdReusedError: "REQUEST_ID_REUSED",
    errors.WebhookNotFoundError: "WEBHOOK_NOT_FOUND",
    errors.WebhookLimitError: "WEBHOOK_LIMIT",
    errors.WebhookTestedError: "WEBHOOK_TESTED",
    errors.WebhookDisabledError: "WEBHOOK_DISABLED",
    errors.WebhooksOffError: "WEBHOOKS_OFF",
}


def test_reasons_of_errors_stay_as_callers_know_them() -> None:
    assert reasons_of(errors) == REASONS
