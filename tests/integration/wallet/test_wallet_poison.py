"""Values at the end of their range, and words that nobody knows, stop no reader and no writer.

Whoever has wallet's password may write them, and they are still there when the password is another.
"""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from libs.common.ids import PoolerId, WalletId
from libs.common.spans import Span
from services.wallet.domain.fee_reports import FeeKind
from services.wallet.domain.model import FailureReason, OperationKind, OperationState
from services.wallet.keys.provider import WrappedKey
from services.wallet.store.fees import Charged, FeeStore, add_fees
from services.wallet.store.keys import KeyStore, Rewrap
from services.wallet.store.operations import OperationStore
from services.wallet.store.payers import PayerStore
from services.wallet.store.reconcile import ReconcileStore
from tests.support.database import Connection, DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRows, ago

MOST = 2**63 - 1
FEES = """
INSERT INTO wallet.fee_sums (span, starts_at, pooler_id, kind, stroops, charges)
SELECT s.span, s.starts_at, n.pooler_id, n.kind, $2, $2
FROM wallet.spans_of(now()) AS s
CROSS JOIN (VALUES (NULL::uuid, 'other'), ($1::uuid, 'plant'), ($1::uuid, 'bogus'))
AS n (pooler_id, kind)
"""
PAYMENT = """
WITH made AS (
    INSERT INTO wallet.operations (id, kind, wallet_id, block_index, state, amount, transaction_id)
    VALUES (gen_random_uuid(), 'withdraw', $1, $2, 'sent', $3, $4)
    RETURNING id
)
INSERT INTO wallet.withdrawals (operation_id, wallet_id, request_id, asset, amount, destination)
SELECT id, $1, $2::text, 'kale', $3, 'outside' FROM made
"""
FOUND = """
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, amount, stake_returned, ledger, settled_at, is_found
)
VALUES (gen_random_uuid(), 'harvest', $1, $2, 'succeeded', $3, $3, 9, now(), true)
"""


@pytest.fixture
async def thief(database: DatabaseAccess) -> AsyncIterator[Connection]:
    """Somebody with wallet's password."""
    async with connect(database.dsn("wallet")) as opened:
        yield opened


async def test_a_sum_of_fees_that_is_full_keeps_no_transaction_from_ending(
    rows: WalletRows, thief: Connection
) -> None:
    owner = await rows.wallet()
    await thief.execute(FEES, owner.pooler_id, MOST)
    plant = await rows.operation(owner)
    async with rows.pool.transaction() as session:
        charged = [Charged(operation_id=plant, fee=7), Charged(operation_id=None, fee=7)]
        await add_fees(session, charged)
    assert owner.pooler_id is not None
    for pooler in (None, owner.pooler_id):
        await _reads_fees(rows, pooler)


async def _reads_fees(rows: WalletRows, pooler: PoolerId | None) -> None:
    start = await rows.connection.fetchval("SELECT date_trunc('hour', now(), 'UTC')")
    (found,) = await FeeStore(rows.pool).fees(pooler, Span.HOUR, [start])
    assert {fee.kind for fee in found.kinds} >= {FeeKind.OTHER, FeeKind.PLANT}
    assert (found.stroops, found.stroops_per_kale) == (MOST, None)
    assert max(fee.charges for fee in found.kinds) == MOST


async def test_payments_of_everything_keep_no_other_payment_from_being_weighed(
    rows: WalletRows, thief: Connection
) -> None:
    owner, other = await rows.wallet(), await rows.wallet()
    carrier = await rows.transaction(state="sent")
    for number in range(2):
        await thief.execute(PAYMENT, owner.id, number, MOST, carrier)
    await rows.payment(other, None, amount=5, state="sent")
    found = await PayerStore(rows.pool, ORDERS).in_flight()
    assert {item.source: item.amount for item in found} == {owner.address: MOST, other.address: 5}


async def test_rewards_of_everything_keep_no_balance_from_being_compared(
    rows: WalletRows, thief: Connection
) -> None:
    owner, other = await rows.wallet(), await rows.wallet()
    store = ReconcileStore(rows.pool, ORDERS)
    await store.save_balances({owner.id: 5, other.id: 6}, ledger=1)
    for block in range(2):
        await thief.execute(FOUND, owner.id, block, MOST)
    found = await store.balances(after=None, limit=9)
    assert {item.wallet_id: item.moved for item in found} == {owner.id: MOST, other.id: 0}


async def test_a_reason_that_nobody_knows_hides_no_other_end(
    rows: WalletRows, thief: Connection
) -> None:
    """A batch would never be booked: of what is settled no role changes the reason any more."""
    owner = await rows.wallet()
    plants = [await rows.operation(owner, block=block) for block in range(2)]
    await thief.execute(
        "UPDATE wallet.operations SET state = 'failed', reason = 'BOGUS', settled_at = now() "
        "WHERE id = $1",
        plants[0],
    )
    harvest = await rows.operation(owner, "harvest", "succeeded", settled_at=ago(), amount=7)
    store = OperationStore(rows.pool, ORDERS)
    told = {item.id: item for item in await store.settled_among([*plants, harvest])}
    assert {name: item.state for name, item in told.items()} == {
        plants[0]: OperationState.FAILED,
        harvest: OperationState.SUCCEEDED,
    }
    assert told[plants[0]].reason is FailureReason.TAMPERED
    listed = await store.page(farmer_id=None, state=None, kind=None, before=None, limit=9)
    assert {item.id: item.reason for item in listed}[plants[0]] is FailureReason.REFUSED


async def test_a_difference_that_nobody_knows_is_listed(
    rows: WalletRows, thief: Connection
) -> None:
    owner = await rows.wallet()
    await thief.execute(
        "INSERT INTO wallet.differences (id, kind, wallet_id, block_index, recorded, on_chain, "
        "ledger) VALUES (gen_random_uuid(), 'bogus', $1, 0, '', '', 0)",
        owner.id,
    )
    (found,) = await ReconcileStore(rows.pool, ORDERS).page(before=None, settled=False, limit=9)
    assert found.kind == "bogus"


async def test_a_count_that_is_full_keeps_no_key_from_being_wrapped_anew(
    rows: WalletRows, thief: Connection
) -> None:
    store, owner = KeyStore(rows.pool, ORDERS), await rows.wallet()
    key = {"kek_id": "old", "wrapped_data_key": b"x", "nonce": bytes(12), "sealed_seed": b"x"}
    await rows.insert("wallet.sealed_keys", wallet_id=owner.id, **key)
    rotation = await store.start_rotation("new", actor="ann")
    await thief.execute("UPDATE wallet.key_rotations SET rewrapped = 2147483647")
    old = WrappedKey(kek_id="old", ciphertext=b"x", context=b"")
    new = WrappedKey(kek_id="new", ciphertext=b"y", context=b"")
    rewrap = Rewrap(wallet_id=owner.id, old=old, new=new)
    assert await store.rewrap(rotation.id, [rewrap]) == 1


PAYER = """
INSERT INTO wallet.wallets (id, kind, address, status, mac)
SELECT $1, 'payer', rpad('G', 56, 'B'), 'ready', (SELECT mac FROM wallet.wallets WHERE id = $2)
"""


async def test_no_payment_is_given_to_a_payer_that_wallet_did_not_make(
    rows: WalletRows, thief: Connection
) -> None:
    """It would belong to it for ever, and nobody has that account's key."""
    owner = await rows.wallet()
    waiting = [await rows.payment(owner, None) for _ in range(4)]
    # The forged one is the first by its id and by what it has to do.
    forged = WalletId(UUID(int=1))
    genuine = await rows.wallet("payer")
    await rows.payment(owner, genuine)
    await thief.execute(PAYER, forged, genuine.id)
    assert await PayerStore(rows.pool, ORDERS).assign(OperationKind.WITHDRAW) == 4
    owners = await rows.values("wallet.payments", "payer_id", key="operation_id")
    assert {owners[name] for name in waiting} == {genuine.id}
