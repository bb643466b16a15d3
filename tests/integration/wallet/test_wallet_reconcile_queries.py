"""What reconciliation reads of a block and of balances: what its queries take, and what not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.ids import PoolerId, WalletId, new_id
from services.wallet.domain.model import OperationKind
from services.wallet.domain.reconciling import Balance, Kept, Told
from services.wallet.store.reconcile import ReconcileStore
from tests.support.orders import ORDERS
from tests.support.pool_world import PoolWorld
from tests.support.table_rows import insert_event, store_backwards
from tests.support.wallet_rows import BLOCK, LEDGER, WalletRow, WalletRows

ALL = 99
FARMING = ("plant", "work", "harvest")


async def page_of(rows: WalletRows) -> list[WalletRow]:
    """Farmers whose rows are to be told, in the order of their ids, among others that are not."""
    await rows.wallet("treasury")
    await rows.wallet(status="pending")
    wallets = sorted([await rows.wallet() for _ in range(6)], key=lambda row: row.id)
    await store_backwards(rows.connection, "wallet.wallets", [row.id for row in wallets])
    return wallets


# What is recorded ------------------------------------------------------------------------------


async def kept(rows: WalletRows, wallet: WalletRow, block: int = BLOCK) -> Kept:
    """What is recorded of one farmer."""
    found = await ReconcileStore(rows.pool, ORDERS).kept(block, after=None, limit=ALL)
    (own,) = [item for item in found if item.wallet_id == wallet.id]
    return own


def nothing(wallet: WalletRow) -> Kept:
    """A farmer that did nothing in the block."""
    return Kept(
        wallet_id=wallet.id,
        address=wallet.address,
        block_index=BLOCK,
        stake=None,
        zeros=None,
        is_harvested=False,
        is_moving=False,
        ledger=0,
    )


async def test_the_best_of_what_succeeded_is_recorded(rows: WalletRows) -> None:
    wallet, other = await rows.wallet(), await rows.wallet()
    await rows.operation(wallet, "plant", "succeeded", amount=250, ledger=LEDGER + 1)
    await rows.operation(wallet, "plant", "failed", amount=900, ledger=LEDGER + 9)
    await rows.operation(wallet, "work", "succeeded", zeros=4, ledger=LEDGER + 2)
    await rows.operation(wallet, "work", "succeeded", zeros=6, ledger=LEDGER + 3)
    await rows.operation(wallet, "work", "failed", zeros=9)
    await rows.operation(wallet, "harvest", "succeeded", amount=400, ledger=LEDGER + 4)
    # Neither another farmer's, nor another block's, nor of another kind.
    await rows.operation(other, "plant", "succeeded", amount=999, ledger=LEDGER + 99)
    await rows.operation(
        wallet, "plant", "succeeded", block=BLOCK + 1, amount=999, ledger=LEDGER + 99
    )
    await rows.operation(wallet, "onboard", "queued")
    await rows.operation(wallet, "top_up", "succeeded", ledger=LEDGER + 99)
    assert await kept(rows, wallet) == replace(
        nothing(wallet),
        stake=250,
        zeros=6,
        is_harvested=True,
        ledger=LEDGER + 9,
        planted_ledger=LEDGER + 1,
    )


async def test_a_farmer_that_did_nothing_is_told(rows: WalletRows) -> None:
    wallet = await rows.wallet()
    assert await kept(rows, wallet) == nothing(wallet)


async def test_a_plant_is_no_harvest_and_a_failed_one_neither(rows: WalletRows) -> None:
    wallet = await rows.wallet()
    await rows.operation(wallet, "plant", "succeeded", amount=250, ledger=LEDGER)
    expected = replace(nothing(wallet), stake=250, ledger=LEDGER, planted_ledger=LEDGER)
    assert await kept(rows, wallet) == expected
    await rows.operation(wallet, "harvest", "failed")
    assert await kept(rows, wallet) == expected


@pytest.mark.parametrize("kind", FARMING)
@pytest.mark.parametrize("state", ["queued", "signed", "sent"])
async def test_what_is_on_its_way_is_told(rows: WalletRows, kind: str, state: str) -> None:
    wallet = await rows.wallet()
    await rows.operation(wallet, kind, state)
    assert await kept(rows, wallet) == replace(nothing(wallet), is_moving=True)


async def test_records_of_farmers_come_by_wallet_a_page_at_a_time(rows: WalletRows) -> None:
    wallets = await page_of(rows)
    store = ReconcileStore(rows.pool, ORDERS)

    async def told(after: WalletId | None, limit: int) -> list[WalletId]:
        return [item.wallet_id for item in await store.kept(BLOCK, after=after, limit=limit)]

    expected = [row.id for row in wallets]
    assert await told(None, ALL) == expected
    assert await told(None, 2) == expected[:2]
    assert await told(expected[0], ALL) == expected[1:]


async def test_a_farmer_that_wallet_did_not_make_is_none_of_the_pools(rows: WalletRows) -> None:
    """Else reconciliation recorded with wallet's authenticator what strangers did."""
    wallets = sorted([await rows.wallet() for _ in range(8)], key=lambda row: row.id)
    forged, other, named = wallets[1:3], wallets[3], wallets[6]
    change = "UPDATE wallet.wallets SET {} WHERE id = $1"
    await rows.connection.execute("SET session_replication_role = replica")
    for one in forged:
        await rows.connection.execute(change.format("mac = NULL"), one.id)
    # An authenticator of another row; and a row of wallet's that names a stranger's account.
    genuine = "mac = (SELECT mac FROM wallet.wallets WHERE id = $2)"
    await rows.connection.execute(change.format(genuine), other.id, wallets[0].id)
    await rows.connection.execute(change.format("address = $2"), named.id, "G" + "B" * 55)
    store = ReconcileStore(rows.pool, ORDERS)
    expected = [one.id for one in wallets if one not in (*forged, other, named)]
    for limit in (1, 2, 3, 4, ALL):
        kept: list[WalletId] = []
        while page := await store.kept(BLOCK, after=kept[-1] if kept else None, limit=limit):
            kept += [item.wallet_id for item in page]
        counted: list[WalletId] = []
        while balances := await store.balances(after=counted[-1] if counted else None, limit=limit):
            counted += [item.wallet_id for item in balances]
        assert (kept, counted) == (expected, expected)
    assert len(await store.kept(BLOCK, after=None, limit=3)) == 3, "as many as are asked for"


# What events say -------------------------------------------------------------------------------


async def enrolled(rows: WalletRows, pooler: PoolerId | None = None) -> WalletRow:
    """A farmer that registry knows, too."""
    wallet = await rows.wallet(pooler=pooler or PoolerId(await PoolWorld(rows.connection).pooler()))
    await rows.insert(
        "registry.farmers",
        id=wallet.farmer_id,
        wallet_id=wallet.id,
        custodial_public_key=wallet.address,
        pooler_id=wallet.pooler_id,
        status="active",
        request_id=wallet.address,
        digest=b"",
    )
    return wallet


async def event(
    rows: WalletRows, wallet: WalletRow, table: str, *, block: int = BLOCK, **values: Any
) -> None:
    """An event of a farmer."""
    assert wallet.pooler_id is not None
    await insert_event(
        rows.connection,
        table,
        farmer=wallet.owner,
        pooler=wallet.pooler_id,
        block=block,
        **values,
    )


async def told(rows: WalletRows, wallet: WalletRow) -> Told:
    """What the events say of one farmer, who alone was asked for."""
    found = await ReconcileStore(rows.pool, ORDERS).told(BLOCK, [wallet.id])
    assert found.keys() == {wallet.id}
    return found[wallet.id]


def silence(wallet: WalletRow) -> Told:
    """No event of a farmer."""
    return Told(wallet_id=wallet.id, stake=None, zeros=None, is_harvested=False, is_fresh=False)


async def test_events_of_successes_are_told_with_the_best_work(rows: WalletRows) -> None:
    wallet, other = await enrolled(rows), await enrolled(rows)
    await event(rows, wallet, "plant.plantings", stake_amount=250)
    await event(rows, wallet, "work.works", zeros=4)
    await event(rows, wallet, "work.works", zeros=6)
    await event(rows, wallet, "harvest.harvests")
    assert await told(rows, wallet) == Told(
        wallet_id=wallet.id, stake=250, zeros=6, is_harvested=True, is_fresh=False
    )
    assert await told(rows, other) == silence(other)


async def test_events_of_other_blocks_and_failures_are_passed_over(rows: WalletRows) -> None:
    wallet = await enrolled(rows)
    for table in ("plant.plantings", "work.works", "harvest.harvests"):
        await event(rows, wallet, table, block=BLOCK + 1)
        await event(rows, wallet, table, reason="REFUSED")
    assert await told(rows, wallet) == silence(wallet)


@pytest.mark.parametrize("kind", FARMING)
async def test_what_was_settled_a_moment_ago_is_fresh(rows: WalletRows, kind: str) -> None:
    fresh, old, other = [await rows.wallet() for _ in range(3)]
    now = datetime.now(UTC)
    for wallet, minutes in ((fresh, 4), (old, 6)):
        await rows.operation(wallet, kind, "succeeded", settled_at=now - timedelta(minutes=minutes))
    # On its way, of another block, of another kind.
    await rows.operation(other, kind, "queued")
    await rows.operation(other, kind, "succeeded", block=BLOCK + 1)
    await rows.operation(other, "onboard", "succeeded")
    for wallet in (fresh, old, other):
        expected = replace(silence(wallet), is_fresh=wallet is fresh)
        assert await told(rows, wallet) == expected


async def test_what_was_settled_five_minutes_ago_is_not_fresh(rows: WalletRows) -> None:
    wallet = await rows.wallet()
    async with rows.pool.transaction() as session:
        await session.connection.execute(
            "INSERT INTO wallet.operations (id, kind, wallet_id, block_index, state, settled_at) "
            "VALUES ($1, 'plant', $2, $3, 'succeeded', now() - interval '5 minutes')",
            new_id(),
            wallet.id,
            BLOCK,
        )
        (row,) = await session.many("events_in_block", BLOCK, [wallet.id])
    assert not row["is_fresh"]


# Balances --------------------------------------------------------------------------------------


async def balance(rows: WalletRows, wallet: WalletRow) -> Balance:
    """What is recorded of one farmer's KALE."""
    found = await ReconcileStore(rows.pool, ORDERS).balances(after=None, limit=ALL)
    (own,) = [item for item in found if item.wallet_id == wallet.id]
    return own


async def looked_at(rows: WalletRows, kale: int = 500) -> WalletRow:
    """A farmer's wallet that had so much KALE at the last look."""
    wallet = await rows.wallet()
    await ReconcileStore(rows.pool, ORDERS).save_balances({wallet.id: kale}, ledger=LEDGER)
    return wallet


def unmoved(wallet: WalletRow, kale: int = 500) -> Balance:
    """A balance as of the last look."""
    return Balance(
        wallet_id=wallet.id,
        address=wallet.address,
        since=LEDGER,
        kale=kale,
        moved=0,
        is_moving=False,
        ledger=0,
    )


async def withdraw(rows: WalletRows, wallet: WalletRow, asset: str, amount: int) -> None:
    """A withdrawal that was paid."""
    await rows.payment(
        wallet, None, state="succeeded", asset=asset, amount=amount, ledger=LEDGER + 3
    )


async def test_what_has_moved_since_the_last_look_is_added_up(rows: WalletRows) -> None:
    wallet, other = await looked_at(rows), await looked_at(rows, 900)
    await rows.operation(wallet, "plant", "succeeded", amount=30, ledger=LEDGER + 1)
    await rows.operation(wallet, "plant", "failed", block=BLOCK + 1, amount=999, ledger=LEDGER + 9)
    await rows.operation(
        wallet, "harvest", "succeeded", amount=70, stake_returned=30, ledger=LEDGER + 2
    )
    await rows.operation(wallet, "work", "succeeded", ledger=LEDGER + 2)
    await withdraw(rows, wallet, "kale", 11)
    await withdraw(rows, wallet, "xlm", 7)
    # What the last look has seen.
    await rows.operation(wallet, "plant", "succeeded", block=BLOCK - 1, amount=5000, ledger=LEDGER)
    await rows.operation(
        wallet, "plant", "succeeded", block=BLOCK - 2, amount=6000, ledger=LEDGER - 1
    )
    expected = replace(unmoved(wallet), moved=-30 + 70 + 30 - 11, ledger=LEDGER + 9)
    assert await balance(rows, wallet) == expected
    assert await balance(rows, other) == unmoved(other, 900)


async def test_before_the_first_look_nothing_has_moved(rows: WalletRows) -> None:
    wallet = await rows.wallet()
    await rows.operation(wallet, "plant", "succeeded", amount=30, ledger=LEDGER + 1)
    assert await balance(rows, wallet) == replace(unmoved(wallet), since=None, kale=0)


@pytest.mark.parametrize("state", ["queued", "signed", "sent"])
@pytest.mark.parametrize("kind", [OperationKind.PLANT, OperationKind.WITHDRAW])
async def test_a_balance_with_something_on_its_way_is_told(
    rows: WalletRows, kind: OperationKind, state: str
) -> None:
    wallet, other = await looked_at(rows), await looked_at(rows)
    await rows.operation(wallet, kind.value, state)
    await rows.operation(other, kind.value, "failed")
    assert await balance(rows, wallet) == replace(unmoved(wallet), is_moving=True)
    assert await balance(rows, other) == unmoved(other)


async def test_balances_come_by_wallet_a_page_at_a_time(rows: WalletRows) -> None:
    wallets = await page_of(rows)
    store = ReconcileStore(rows.pool, ORDERS)

    async def listed(after: WalletId | None, limit: int) -> list[WalletId]:
        return [item.wallet_id for item in await store.balances(after=after, limit=limit)]

    expected = [row.id for row in wallets]
    assert await listed(None, ALL) == expected
    assert await listed(None, 2) == expected[:2]
    assert await listed(expected[0], ALL) == expected[1:]


async def test_whose_account_is_told_with_the_newest_ledger_a_page_at_a_time(
    rows: WalletRows,
) -> None:
    first, second, third, *_ = await page_of(rows)
    await rows.operation(first, "plant", "succeeded", block=BLOCK, ledger=LEDGER)
    await rows.operation(first, "harvest", "failed", block=BLOCK, ledger=LEDGER + 3)
    await rows.operation(second, "withdraw", "sent")
    store = ReconcileStore(rows.pool, ORDERS)
    found = await store.holders(after=None, limit=ALL)
    assert [(one.wallet_id, one.is_moving, one.ledger) for one in found[:3]] == [
        (first.id, False, LEDGER + 3),
        (second.id, True, 0),
        (third.id, False, 0),
    ]
    assert (found[0].address, found[0].farmer_id, found[0].pooler_id) == (
        first.address,
        first.farmer_id,
        first.pooler_id,
    )
    assert [one.wallet_id for one in await store.holders(after=first.id, limit=1)] == [second.id]


@pytest.mark.parametrize(
    ("ledger", "is_saved"),
    [
        (LEDGER - 65, True),  # what is kept is of a node that lied about the height
        (LEDGER - 64, False),
        (LEDGER - 1, False),
        (LEDGER, False),
        (LEDGER + 1, True),
    ],
)
async def test_a_balance_is_saved_of_a_later_ledger(
    rows: WalletRows, ledger: int, is_saved: bool
) -> None:
    wallet, other = await looked_at(rows), await looked_at(rows, 900)
    await ReconcileStore(rows.pool, ORDERS).save_balances({wallet.id: 7}, ledger=ledger)
    expected = replace(unmoved(wallet), since=ledger, kale=7) if is_saved else unmoved(wallet)
    assert await balance(rows, wallet) == expected
    assert await balance(rows, other) == unmoved(other, 900)
