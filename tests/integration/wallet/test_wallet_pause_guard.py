"""A pause ends by wallet's word only, whoever may write its row."""

from uuid import UUID

import pytest

from libs.common.ids import OperationId, new_id
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.store.custody import CustodyStore
from services.wallet.store.transactions import Draft, TransactionStore
from tests.support.orders import ORDERS
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows

EVERYTHING = Reach(scope=Scope.EVERYTHING)
LIFT = "UPDATE wallet.pauses SET resumed_by = 'thief', resumed_at = now()"
DELETE = "DELETE FROM wallet.pauses"


def draft(wallet: WalletRow, operation_id: UUID) -> Draft:
    name = new_id().hex
    envelope = SignedEnvelope(
        xdr=name,
        hash=name,
        inner_hash="",
        source=wallet.address,
        sequence=1,
        max_time=1000,
        fee_bid=100,
    )
    return Draft(
        envelope=envelope, operation_ids=(OperationId(operation_id),), stakes_returned=(0,)
    )


async def reaches(store: CustodyStore) -> list[tuple[Reach, str, str]]:
    return [(item.reach, item.paused_by, item.reason) for item in await store.pauses(over=False)]


@pytest.fixture(autouse=True)
async def treasury(rows: WalletRows) -> None:
    """A treasury that can pay fees."""
    await rows.wallet("treasury", xlm_stroops=10**9)


@pytest.mark.parametrize("how", [LIFT, DELETE], ids=["lifted", "deleted"])
@pytest.mark.parametrize("scope", [Scope.EVERYTHING, Scope.POOLER, Scope.WALLET])
async def test_a_pause_that_somebody_else_ended_is_put_back(
    rows: WalletRows, how: str, scope: Scope
) -> None:
    farmer = await rows.wallet()
    targets = {Scope.EVERYTHING: None, Scope.POOLER: farmer.pooler_id, Scope.WALLET: farmer.id}
    reach = Reach(scope=scope, target=targets[scope])
    custody, store = CustodyStore(rows.pool, ORDERS), TransactionStore(rows.pool, ORDERS)
    plant = await rows.operation(farmer)
    await custody.pause(reach, reason="fire", actor="ann")
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    await rows.connection.execute(how)
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    ((found, actor, reason),) = await reaches(custody)
    assert (found, actor) == (reach, "wallet")
    assert reason.startswith("put back: it")
    # It is put back once, with a record; an operator ends it as any other.
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    records = await custody.latest(before=None, action="pause", limit=10)
    assert [item.actor for item in records] == ["wallet", "ann"]
    assert await custody.resume(reach, actor="ann")
    assert (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    assert not await reaches(custody)


async def test_another_process_does_not_put_back_what_was_put_back(rows: WalletRows) -> None:
    farmer, custody = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    plant = await rows.operation(farmer)
    await custody.pause(EVERYTHING, reason="fire", actor="ann")
    await rows.connection.execute(LIFT)
    first = TransactionStore(rows.pool, ORDERS)
    assert not (await first.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    assert await custody.resume(EVERYTHING, actor="ann")
    second = TransactionStore(rows.pool, ORDERS)
    assert (await second.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded


async def test_a_pause_that_an_operator_ended_stays_ended(rows: WalletRows) -> None:
    farmer, custody = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    plant = await rows.operation(farmer)
    store = TransactionStore(rows.pool, ORDERS)
    for _ in range(2):
        await custody.pause(EVERYTHING, reason="fire", actor="ann")
        assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
        assert await custody.resume(EVERYTHING, actor="ann")
    assert (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
