"""Answers of sendTransaction: what a fee that is told, or not, leads to; who is passed over."""

from uuid import UUID

import pytest

from libs.common.ids import OperationId, WalletId
from services.wallet.domain.chain_facts import LedgerHead, SendResult, SendStatus
from services.wallet.domain.model import (
    CarriedOperation,
    OpenTransaction,
    OperationKind,
    TransactionId,
    TransactionState,
)
from services.wallet.domain.submission import NextStep, is_stuck, weigh


@pytest.mark.parametrize(
    ("code", "fee", "step", "resend_after", "required"),
    [
        ("txINSUFFICIENT_FEE", 500, NextStep.RAISE_BID, 1, 500),
        ("txINSUFFICIENT_FEE", None, NextStep.ALARM, 3, 0),
        ("txBAD_SEQ", 500, NextStep.WATCH, 3, 0),
        ("txMALFORMED", 500, NextStep.ALARM, 3, 0),
    ],
)
def test_a_bid_is_raised_when_the_fee_was_too_low_and_enough_is_told(
    code: str, fee: int | None, step: NextStep, resend_after: int, required: int
) -> None:
    answer = weigh(SendResult(status=SendStatus.ERROR, code=code, required_fee=fee))
    assert (answer.step, answer.text) == (step, code)
    assert (answer.resend_after, answer.required_fee) == (resend_after, required)


def carried(kind: OperationKind) -> CarriedOperation:
    return CarriedOperation(
        id=OperationId(UUID(int=1)),
        kind=kind,
        wallet_id=WalletId(UUID(int=1)),
        address="G",
        block_index=10,
        amount=0,
        zeros=None,
        attempts=1,
    )


@pytest.mark.parametrize(
    ("kinds", "is_passed_over"),
    [
        ([OperationKind.WORK], True),
        ([OperationKind.HARVEST, OperationKind.WORK], True),
        ([OperationKind.HARVEST], False),
        ([], False),
    ],
)
def test_one_urgent_operation_makes_a_transaction_urgent(
    kinds: list[OperationKind], is_passed_over: bool
) -> None:
    transaction = OpenTransaction(
        id=TransactionId(UUID(int=1)),
        state=TransactionState.SENT,
        source="G",
        sequence=7,
        hash="00",
        lookup_hash="00",
        envelope="",
        max_time=500,
        fee_bid=100,
        signed_ledger=90,
        resend_ledger=93,
        last_answer="",
        operations=tuple(carried(kind) for kind in kinds),
    )
    for ledger, is_late in ((95, False), (96, True)):
        head = LedgerHead(sequence=ledger, close_time=400)
        assert is_stuck(transaction, head) is (is_passed_over and is_late)
