"""When an approval counts, who may give it, and how many wait."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.common.ids import new_id
from services.wallet.domain.approvals import (
    Approval,
    ApprovalId,
    Verdict,
    expiry,
    has_room,
    is_anothers,
    is_wallets_own,
    verdict,
)

ANN, BOB = "spiffe://pool/operator/ann", "spiffe://pool/operator/bob"
WITHDRAW = "/kalepool.wallet.v1.WithdrawalService/Withdraw"
UPDATE = "/kalepool.registry.v1.RegistryService/UpdatePooler"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


def approval(**changes: object) -> Approval:
    fields = {
        "id": ApprovalId(new_id()),
        "method": WITHDRAW,
        "digest": bytes(32),
        "request": "{}",
        "asked_by": ANN,
        "asked_at": NOW - timedelta(minutes=1),
        "expires_at": NOW + timedelta(minutes=1),
        "approved_by": None,
        "approved_at": None,
        "used_at": None,
    }
    return Approval(**(fields | changes))  # type: ignore[arg-type]


AGREED = {"approved_by": BOB, "approved_at": NOW}
LATE = {"expires_at": NOW}


@pytest.mark.parametrize(
    ("newest", "once", "again"),
    [
        (None, Verdict.ASK, Verdict.ASK),
        (approval(), Verdict.WAIT, Verdict.WAIT),
        (approval(**LATE), Verdict.ASK, Verdict.ASK),
        (approval(**AGREED), Verdict.USE, Verdict.USE),
        (approval(**AGREED, **LATE), Verdict.ASK, Verdict.ASK),
        (approval(**AGREED, used_at=NOW), Verdict.ASK, Verdict.REPEAT),
        (approval(**AGREED, **LATE, used_at=NOW), Verdict.ASK, Verdict.REPEAT),
    ],
)
def test_an_approval_is_used_once_and_in_time(
    newest: Approval | None, once: Verdict, again: Verdict
) -> None:
    assert verdict(newest, NOW, is_repeatable=False) is once
    assert verdict(newest, NOW, is_repeatable=True) is again


def test_an_approval_ends_so_many_seconds_after_it_was_asked_for() -> None:
    assert expiry(NOW, seconds=90) == NOW + timedelta(seconds=90)


def test_nobody_is_the_second_person_by_other_letters_of_the_own_name() -> None:
    assert is_anothers(approval(), BOB)
    assert not is_anothers(approval(), ANN)
    assert not is_anothers(approval(), ANN.upper())


def test_only_requests_to_wallet_are_its_own() -> None:
    assert is_wallets_own(WITHDRAW)
    assert not is_wallets_own(UPDATE)
    assert not is_wallets_own("/kalepool.walletry.v1.WalletService/Withdraw")


@pytest.mark.parametrize(
    ("method", "own", "brought", "has"),
    [
        (WITHDRAW, 49, 1000, True),
        (WITHDRAW, 50, 0, False),
        (UPDATE, 1000, 99, True),
        (UPDATE, 0, 100, False),
    ],
)
def test_neither_kind_of_request_takes_the_room_of_the_other(
    method: str, own: int, brought: int, has: bool
) -> None:
    assert has_room(method, own=own, brought=brought) is has
