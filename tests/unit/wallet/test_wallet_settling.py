"""Settlements of operations: what each says where nothing more is known."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from libs.common.ids import OperationId, WalletId
from services.wallet.domain.blocks import Readiness, Verdict
from services.wallet.domain.chain_facts import ContractError, PailState
from services.wallet.domain.model import (
    CarriedOperation,
    ChainHead,
    FailureReason,
    OperationEvent,
    OperationKind,
    Settlement,
)
from services.wallet.domain.outcomes import MAX_ATTEMPTS
from services.wallet.domain.settling import (
    excluded,
    given_up,
    judged,
    later,
    refused,
    worked_already,
)
from services.wallet.domain.submission import BAD_AUTH

ID = UUID(int=1)
PLANT = CarriedOperation(
    id=OperationId(ID),
    kind=OperationKind.PLANT,
    wallet_id=WalletId(ID),
    address="G",
    block_index=10,
    amount=70,
    zeros=None,
    attempts=1,
)
HEAD = ChainHead(
    ledger=1000,
    close_time=datetime(2026, 1, 1, tzinfo=UTC),
    current_block=10,
    plantable_block=10,
    paused=False,
    block_seconds=300,
)


@pytest.mark.parametrize(("gap", "found"), [(None, 0), (0, 0), (5, 5)])
def test_a_work_that_its_pail_shows_has_the_pails_gap(gap: int | None, found: int) -> None:
    work = replace(PLANT, kind=OperationKind.WORK, zeros=4, attempts=2)
    pail = PailState(sequence=900, stake=70, gap=gap, zeros=4, live_until=5000)
    settled = worked_already(work, pail, fee=9)
    assert settled is not None
    assert (settled.gap, settled.ledger, settled.fee) == (found, 900 + found, 9)
    assert worked_already(replace(work, attempts=1), pail, fee=9) is None


def test_what_is_given_up_before_a_ledger_took_it_has_no_ledger_fee_or_price() -> None:
    assert given_up(PLANT, FailureReason.REFUSED, "no") == Settlement(
        operation_id=PLANT.id,
        event=OperationEvent.FAIL,
        ledger=0,
        fee=0,
        reason=FailureReason.REFUSED,
        message="no",
        asked=0,
    )
    assert given_up(PLANT, FailureReason.FEE_CAP, "no", asked=900).asked == 900


def test_what_is_put_off_without_a_word_is_due_at_once() -> None:
    assert later(PLANT) == Settlement(
        operation_id=PLANT.id,
        event=OperationEvent.RETRY,
        due_ledger=0,
        pause=0.0,
        fee=0,
        pack_limit=None,
    )


def test_a_verdict_without_a_reason_is_a_refusal() -> None:
    verdict = Verdict(readiness=Readiness.FAIL, message="no")
    settled = judged(PLANT, verdict, HEAD)
    assert settled is not None
    assert (settled.reason, settled.message) == (FailureReason.REFUSED, "no")


def test_only_a_farmers_own_account_can_have_locked_its_call_out() -> None:
    locked = excluded(PLANT, HEAD, last_answer=BAD_AUTH, is_own=True)
    assert (locked.event, locked.reason) == (OperationEvent.EXPIRE, FailureReason.ACCOUNT_LOCKED)
    for retried in (
        excluded(PLANT, HEAD, last_answer=BAD_AUTH),
        excluded(PLANT, HEAD, last_answer=BAD_AUTH, is_own=False),
        excluded(PLANT, HEAD, last_answer="txBAD_SEQ", is_own=True),
    ):
        assert (retried.event, retried.reason) == (OperationEvent.RETRY, None)


def test_a_refusal_before_any_ledger_costs_nothing() -> None:
    settled = refused(PLANT, ContractError(raiser="farm", code="FarmPaused"), HEAD, pail=None)
    assert (settled.event, settled.reason) == (OperationEvent.FAIL, FailureReason.FARM_PAUSED)
    assert (settled.ledger, settled.fee) == (0, 0)


def test_a_pail_settles_only_what_was_refused_for_it() -> None:
    pail = PailState(sequence=900, stake=70, gap=None, zeros=None, live_until=5000)
    paused = refused(PLANT, ContractError(raiser="farm", code="FarmPaused"), HEAD, pail=pail)
    assert paused.reason is FailureReason.FARM_PAUSED
    there = refused(PLANT, ContractError(raiser="farm", code="PailExists"), HEAD, pail=pail)
    assert (there.event, there.amount) == (OperationEvent.SUCCEED, 70)


def test_what_only_came_too_early_is_tried_again_however_often() -> None:
    work = replace(PLANT, kind=OperationKind.WORK, zeros=4, attempts=MAX_ATTEMPTS)
    early = refused(work, ContractError(raiser="farm", code="GapCountTooLow"), HEAD, pail=None)
    assert (early.event, early.due_ledger) == (OperationEvent.RETRY, HEAD.ledger + 1)
    other = refused(work, ContractError(raiser="host", code="Storage/X"), HEAD, pail=None)
    assert (other.event, other.reason) == (OperationEvent.FAIL, FailureReason.REFUSED)


def test_what_has_to_wait_for_its_block_is_due_with_the_next_ledger() -> None:
    settled = judged(PLANT, Verdict(readiness=Readiness.WAIT), HEAD)
    assert settled is not None
    assert (settled.event, settled.due_ledger) == (OperationEvent.RETRY, 1001)
    assert judged(PLANT, Verdict(readiness=Readiness.GO), HEAD) is None
