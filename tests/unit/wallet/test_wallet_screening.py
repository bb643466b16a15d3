"""What a farmer's pail and account tell before anything is paid, and what follows from it."""

from dataclasses import replace
from uuid import UUID

import pytest

from libs.common.ids import OperationId, WalletId
from services.wallet.domain.chain_facts import AccountState, PailState
from services.wallet.domain.model import (
    CarriedOperation,
    FailureReason,
    OperationEvent,
    OperationKind,
    QueuedOperation,
)
from services.wallet.domain.screening import Advice, barrier, screen
from services.wallet.domain.settling import shown_paid, succeeded, worked_already

ID = UUID(int=1)
KEY = bytes(32)
#: Four zeros.
DIGEST = bytes.fromhex("0000" + "f" * 60)
PAIL = PailState(sequence=900, stake=70, gap=None, zeros=None, live_until=5000)
WORKED = replace(PAIL, gap=5, zeros=4)


def queued(kind: OperationKind, **changes: object) -> QueuedOperation:
    fields = {
        "id": OperationId(ID),
        "kind": kind,
        "wallet_id": WalletId(ID),
        "address": "G",
        "block_index": 10,
        "amount": 70,
        "nonce": 1 if kind is OperationKind.WORK else None,
        "hash": DIGEST if kind is OperationKind.WORK else None,
        "attempts": 0,
        "pack_limit": None,
    }
    return QueuedOperation(**(fields | changes))  # type: ignore[arg-type]


def test_what_is_done_already_costs_nothing_more() -> None:
    plant = screen(queued(OperationKind.PLANT), PAIL, key=KEY, block=None)
    again = queued(OperationKind.WORK, attempts=1)
    work = screen(again, WORKED, key=KEY, block=None)
    for found in (plant, work):
        assert found.advice is Advice.SETTLED
        assert found.settlement is not None
        assert (found.settlement.event, found.settlement.fee) == (OperationEvent.SUCCEED, 0)
        assert found.settlement.stake_returned == 0


@pytest.mark.parametrize(
    ("zeros", "advice"),
    [(None, Advice.SEND), (3, Advice.SEND), (4, Advice.SETTLED), (5, Advice.SETTLED)],
)
def test_a_work_is_sent_while_it_shows_more_than_the_pail(
    zeros: int | None, advice: Advice
) -> None:
    pail = replace(WORKED, zeros=zeros)
    found = screen(queued(OperationKind.WORK), pail, key=KEY, block=None)
    assert found.advice is advice
    if found.settlement is not None:
        assert found.settlement.reason is FailureReason.ZEROS_TOO_LOW


@pytest.mark.parametrize("missing", ["hash", "nonce"])
def test_a_work_needs_a_nonce_and_its_hash(missing: str) -> None:
    with pytest.raises(ValueError, match="has no hash"):
        screen(queued(OperationKind.WORK, **{missing: None}), WORKED, key=KEY, block=None)


ACCOUNT = AccountState(address="G", exists=True, has_trustline=True)


@pytest.mark.parametrize(
    ("stake", "room", "is_full"),
    [
        (70, 70, False),
        (70, 69, True),
        (0, 0, True),
        (0, 1, False),
        (1, 1, False),
    ],
)
def test_a_harvest_needs_room_for_its_stake_and_for_anything_at_all(
    stake: int, room: int, is_full: bool
) -> None:
    account, pail = replace(ACCOUNT, kale_room=room), replace(WORKED, stake=stake)
    found = barrier(queued(OperationKind.HARVEST), account, pail=pail)
    assert found.advice is (Advice.SETTLED if is_full else Advice.SIMULATE)
    if found.settlement is not None:
        assert found.settlement.reason is FailureReason.LINE_FULL


@pytest.mark.parametrize("has_trustline", [True, False])
def test_an_account_that_does_not_exist_takes_no_harvest(has_trustline: bool) -> None:
    account = replace(ACCOUNT, exists=False, has_trustline=has_trustline)
    found = barrier(queued(OperationKind.HARVEST), account, pail=WORKED)
    assert found.settlement is not None
    assert found.settlement.reason is FailureReason.NOT_FUNDED


def test_only_what_was_carried_gives_a_stake_back() -> None:
    carried = CarriedOperation(
        id=OperationId(ID),
        kind=OperationKind.HARVEST,
        wallet_id=WalletId(ID),
        address="G",
        block_index=10,
        amount=0,
        zeros=None,
        attempts=1,
        stake_returned=70,
    )
    for harvest, stake in ((carried, 70), (queued(OperationKind.HARVEST), 0)):
        found = succeeded(harvest, value=5, ledger=1000, fee=9)
        assert (found.stake_returned, found.amount, found.gap) == (stake, 5, None)


def test_a_payment_that_only_its_number_shows_has_no_fee_that_anybody_knows() -> None:
    found = shown_paid(OperationId(ID), ledger=7, by="ab")
    assert (found.fee, found.ledger) == (0, 7)
    assert found.message.endswith("by ab")


def test_a_pail_without_work_shows_no_work() -> None:
    work = queued(OperationKind.WORK, attempts=1, hash=None)
    assert worked_already(work, PAIL, fee=0) is None
