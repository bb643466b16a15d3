"""Payouts of farmers and poolers that leave: all that they have, whatever was agreed."""

# ruff: noqa: F401, F811  (pytest finds fixtures by their names)
import pytest

from services.harvest.domain.payouts import Cause, PayeeKind, Reason
from services.harvest.usecases.payouts import Payouts
from tests.integration.harvest.test_payout_runs import (
    EVERYBODY,
    Pool,
    payouts,
    pending,
    pool,
    run,
)


@pytest.mark.parametrize("status", ["leaving", "closing"])
async def test_who_leaves_is_paid_whatever_its_terms_and_its_pooler(
    pool: Pool, payouts: Payouts, status: str
) -> None:
    person = await pool.farmer(1)
    other = await pool.farmer(1)
    await pool.ledger.admin.execute("UPDATE registry.poolers SET is_active = false")
    await pool.ledger.admin.execute(
        "UPDATE registry.farmers SET status = $2::registry.farmer_status WHERE id = $1",
        person.farmer_id,
        status,
    )
    reasons = {one.payee.payee_id: one.reason for one in await pending(payouts)}
    assert reasons == {
        person.farmer_id: Reason.LEAVING,
        other.farmer_id: Reason.POOLER_SUSPENDED,
    }
    made = await run(payouts)
    assert (made.items, made.paid, made.total_paid) == (1, 1, 1)
    (item,) = await payouts.payouts(EVERYBODY, run_id=made.run_id, before=None, limit=9)
    assert (item.payee_id, item.cause) == (person.farmer_id, Cause.LEAVING)


@pytest.mark.parametrize("stage", ["farming", "leaving", "closing"])
async def test_a_pooler_that_leaves_and_its_miners_are_paid_at_once(
    pool: Pool, payouts: Payouts, stage: str
) -> None:
    person = await pool.farmer()
    await pool.earns(person, 1_000, (100, 0, 100))
    await run(payouts)
    address = await pool.miner(2)
    await pool.divide(pool.ledger.pooler, 1, "pooler:fee")
    await pool.ledger.admin.execute(
        "UPDATE registry.poolers SET stage = $1::registry.pooler_stage", stage
    )
    leaving = {one.payee.kind for one in await pending(payouts) if one.payee.is_leaving}
    expected = set() if stage == "farming" else {PayeeKind.POOLER, PayeeKind.MINER}
    assert leaving == expected
    await run(payouts)
    is_paid = stage != "farming"
    assert (pool.wallet.paid[address] == 2) is is_paid
    assert (pool.wallet.paid[str(pool.ledger.pooler)] > 0) is is_paid
