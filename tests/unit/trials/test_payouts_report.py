"""What the bench of payouts holds its figures against, and what a transaction counts."""

from dataclasses import replace
from typing import Any

import pytest
from stellar_sdk import (
    Account,
    Asset,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    Keypair,
    Network,
    TransactionBuilder,
    xdr,
)

from tests.support.results import ORIGIN
from trials.bench.payouts import (
    PaidRun,
    Payer,
    PayoutPlan,
    PayoutResult,
    _bars,
    _transaction,
    fewest_ledgers,
    report_of,
)

RUN = PaidRun(
    name="farmers",
    asked=1000,
    paid=1000,
    payments_each=2,
    transactions=53,
    ledgers=[600, 1000, 506],
    fee_total=210_600,
    seconds=14.0,
    cpu_seconds=2.0,
    fewest=53,
    most_ledgers=3,
)
PLAN = PayoutPlan(farmers=1000, miners=10_000, payers=53, ledger_seconds=5.0, command="python")


@pytest.mark.parametrize(
    ("count", "payments", "together", "ledgers"),
    [(1000, 2, 19, 3), (1000, 3, 19, 4), (10_000, 1, 99, 12), (19, 2, 19, 1), (20, 3, 19, 1)],
)
def test_the_network_takes_so_many_payouts(
    count: int, payments: int, together: int, ledgers: int
) -> None:
    """53 transactions of 40 operations, or of 59; 102 of 101: no ledger takes a part of one."""
    assert fewest_ledgers(count, payments=payments, together=together) == ledgers


def missed(run: PaidRun) -> list[str]:
    return [goal.name for goal in run.goals() if not goal.met]


def test_a_run_that_is_as_it_should_be_meets_all_goals() -> None:
    assert missed(RUN) == []
    assert (RUN.fee_each, RUN.cpu_ms_each) == (210.6, 2.0)
    report = report_of(PayoutResult(origin=ORIGIN, plan=PLAN, runs=[RUN]))
    assert report.passed
    assert report.verdict == "4 of 4 goals met"


@pytest.mark.parametrize(
    ("run", "goal"),
    [
        (replace(RUN, paid=999), "not paid"),
        (replace(RUN, transactions=54), "transactions"),
        (replace(RUN, ledgers=[600, 900, 500, 106]), "ledgers"),
        (replace(RUN, ledgers=[1001, 1000, 105]), "operations of the fullest ledger"),
    ],
)
def test_each_goal_that_is_missed_is_told(run: PaidRun, goal: str) -> None:
    assert missed(run) == [f"farmers: {goal}"]
    assert not report_of(PayoutResult(origin=ORIGIN, plan=PLAN, runs=[RUN, run])).passed


def payer(ledger: int, operations: int) -> Payer:
    return Payer(ledger=ledger, payments=1, operations=operations, fee=100)


def test_ledgers_without_a_payment_between_others_count() -> None:
    assert _bars([payer(7, 40), payer(9, 20), payer(7, 2)]) == [42, 0, 20]


def sent(*, bumped: bool = True) -> dict[str, Any]:
    """A payment of another account, with a bump, as a node tells it."""
    key, other = Keypair.random(), Keypair.random().public_key
    inner = (
        TransactionBuilder(Account(key.public_key, 1), Network.PUBLIC_NETWORK_PASSPHRASE, 100)
        .append_payment_op(other, Asset("KALE", other), "1", source=other)
        .append_bump_sequence_op(5)
        .set_timeout(60)
        .build()
    )
    inner.sign(key)
    envelope: Any = inner
    if bumped:
        envelope = FeeBumpTransactionEnvelope(
            FeeBumpTransaction(key, 300, inner), Network.PUBLIC_NETWORK_PASSPHRASE
        )
    result = xdr.TransactionResult(
        fee_charged=xdr.Int64(300),
        result=xdr.TransactionResultResult(xdr.TransactionResultCode.txBAD_SEQ),
        ext=xdr.TransactionResultExt(0),
    )
    return {"ledger": 7, "envelopeXdr": envelope.to_xdr(), "resultXdr": result.to_xdr()}


def test_a_fee_bump_is_one_operation_more() -> None:
    assert _transaction(sent()) == Payer(ledger=7, payments=1, operations=3, fee=300)
    with pytest.raises(ValueError, match="fee bump"):
        _transaction(sent(bumped=False))
