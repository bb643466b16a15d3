"""Fields that may be left out: a record of which nothing is said claims nothing."""

from dataclasses import MISSING, fields

import pytest

from libs.common.ids import new_id
from libs.kale.amounts import WHOLE
from libs.kale.constants import MAX_I64
from services.wallet.domain import (
    audit,
    bids,
    blocks,
    budget,
    chain_facts,
    kinds,
    model,
    outcomes,
    packing,
    payment_orders,
    payments,
    reconciling,
    rent,
    screening,
    submission,
    tokens,
    turning,
    withdrawals,
)
from services.wallet.domain.model import TransactionId, TransactionState

#: Records with fields that may be left out.
RECORDS = (
    audit.Act,
    audit.Head,
    audit.Record,
    audit.Seal,
    audit.Verifier,
    bids.OperatorLimits,
    blocks.Verdict,
    budget.FeeTerms,
    budget.SponsorTerms,
    chain_facts.AccountState,
    chain_facts.CallResult,
    chain_facts.FarmState,
    chain_facts.LedgerHead,
    chain_facts.NumberState,
    chain_facts.Outcome,
    chain_facts.SendResult,
    chain_facts.SignedEnvelope,
    kinds.Kind,
    model.CarriedOperation,
    model.Closing,
    model.Ending,
    model.Movement,
    model.Intent,
    model.OpenTransaction,
    model.QueuedOperation,
    model.Settlement,
    model.Wallet,
    outcomes.Meaning,
    packing.Limits,
    payment_orders.Part,
    payment_orders.PaymentOrder,
    payments.PayerRecord,
    reconciling.Kept,
    rent.Entry,
    screening.Screening,
    submission.Answer,
    tokens.Token,
    turning.Remembered,
    withdrawals.CountLimits,
    withdrawals.NewWithdrawal,
)
#: What is not zero, empty, false or None, where nothing is said.
OTHERS = {
    audit.Head: {"hash": bytes(32)},
    audit.Record: {"version": 1},
    audit.Verifier: {"version": 1},
    chain_facts.AccountState: {
        "obeys": True,
        "obeys_fully": True,
        "xlm_room": MAX_I64,
        "kale_room": MAX_I64,
    },
    chain_facts.NumberState: {"obeys": True},
    kinds.Kind: {"moves_balance": True, "returned": kinds.Returned.NOTHING},
    model.CarriedOperation: {"payments": 1},
    payment_orders.PaymentOrder: {"is_genuine": True},
    model.QueuedOperation: {"is_genuine": True, "stake_bps": WHOLE},
    model.Wallet: {"stake_bps": WHOLE},
    withdrawals.CountLimits: {"open": 20, "failures": 5, "failures_of_pooler": 50},
}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_what_is_left_out_claims_nothing(record: type) -> None:
    said = {item.name: item.default for item in fields(record) if item.default is not MISSING}
    assert said
    others = {name: value for name, value in said.items() if value}
    assert others == OTHERS.get(record, {})


def test_no_authenticator_is_shown_where_a_transaction_is_printed() -> None:
    secret = b"authenticator of the row"
    transaction = model.OpenTransaction(
        id=TransactionId(new_id()),
        state=TransactionState.SENT,
        source="G",
        sequence=1,
        hash="",
        lookup_hash="",
        envelope="",
        max_time=1,
        fee_bid=1,
        signed_ledger=1,
        resend_ledger=1,
        last_answer="",
        mac=secret,
        operations=(),
    )
    assert "sequence=1" in repr(transaction)
    assert secret.decode() not in repr(transaction)
