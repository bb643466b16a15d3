"""Who may join a pooler by itself."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from libs.common.errors import PoolError
from libs.common.ids import PoolerId, new_id
from services.registry.domain.joining import (
    Joined,
    JoinLimits,
    check_allowed,
    check_joined,
    check_place,
)
from services.registry.domain.model import Pooler
from services.registry.domain.status import PoolerStage

POOLER = Pooler(
    pooler_id=PoolerId(new_id()),
    name="north",
    public_key="G",
    api_endpoint="",
    max_farmers=3,
    current_farmers=2,
    is_active=True,
    last_seen=None,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    farms_for_itself=False,
    terms_version=1,
    is_listed=True,
    is_open_to_join=True,
    stage=PoolerStage.FARMING,
    waits_for="",
    waits_message="",
)
LIMITS = JoinLimits(daily=5, owner_daily=2)


def reason_of(error: "pytest.ExceptionInfo[PoolError]") -> tuple[str, dict[str, str]]:
    return error.value.reason, dict(error.value.metadata)


def test_a_pooler_with_room_takes_somebody() -> None:
    check_place(POOLER)


def test_a_pooler_without_room_or_that_is_suspended_takes_nobody() -> None:
    with pytest.raises(PoolError) as full:
        check_place(replace(POOLER, current_farmers=3))
    assert reason_of(full) == ("POOL_FULL", {"max_farmers": "3"})
    with pytest.raises(PoolError) as suspended:
        check_place(replace(POOLER, is_active=False, current_farmers=3))
    assert reason_of(suspended) == ("POOLER_SUSPENDED", {})


def test_operator_and_pooler_have_to_allow_it() -> None:
    check_allowed(POOLER, LIMITS)
    closed = replace(POOLER, is_open_to_join=False)
    with pytest.raises(PoolError) as caught:
        check_allowed(closed, LIMITS)
    assert reason_of(caught) == ("NOT_OPEN_TO_JOIN", {"pooler_id": str(POOLER.pooler_id)})
    with pytest.raises(PoolError) as off:
        check_allowed(closed, replace(LIMITS, daily=0))
    assert reason_of(off) == ("SELF_JOIN_OFF", {})


@pytest.mark.parametrize(
    ("total", "of_owner", "reason", "limit"),
    [
        (5, 0, "SELF_JOIN_LIMIT", "5"),
        (6, 1, "SELF_JOIN_LIMIT", "5"),
        (4, 2, "SELF_JOIN_OWNER_LIMIT", "2"),
        (5, 3, "SELF_JOIN_OWNER_LIMIT", "2"),
    ],
)
def test_as_many_join_as_may(total: int, of_owner: int, reason: str, limit: str) -> None:
    check_joined(Joined(total=4, of_owner=1), LIMITS)
    with pytest.raises(PoolError) as caught:
        check_joined(Joined(total=total, of_owner=of_owner), LIMITS)
    assert reason_of(caught) == (reason, {"limit": limit})
