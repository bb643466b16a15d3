"""What a farmer may stake: wallet's own record, which its giver alone changes."""

from typing import Any

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.errors import TamperedError, WalletNotFoundError
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.custody import CustodyStore
from services.wallet.store.operations import OperationStore, Wanted
from services.wallet.store.wallets import WalletStore
from tests.support.database import DatabaseAccess, DatabaseFactory, connect
from tests.support.orders import ORDERS
from tests.support.own_say import OwnSay
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows, ago
from tests.support.wallet_world import open_wallet_world

KALE = 10**7
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
NOT_AGREED = common_pb2.FAILURE_REASON_STAKE_NOT_AGREED
WANTED = Wanted(ledger=LEDGER, plant_until=5, work_until=4, harvest_before=3)


# The record ------------------------------------------------------------------------------------


async def farmer(pool: Database, stake_bps: int) -> FarmerId:
    """The id of a new farmer."""
    sealed = await seal_new_key(LocalKeyProvider(bytes(32)), WalletId(new_id()))
    farmer_id = FarmerId(new_id())
    await WalletStore(pool, ORDERS).insert_farmer(
        sealed,
        farmer_id=farmer_id,
        pooler_id=PoolerId(new_id()),
        onboarding_id=OperationId(new_id()),
        stake_bps=stake_bps,
    )
    return farmer_id


async def test_a_limit_changes_with_a_record_and_a_new_authenticator(pool: Database) -> None:
    store, farmer_id = WalletStore(pool, ORDERS), await farmer(pool, 5000)
    other = await farmer(pool, 100)
    assert (await store.of_farmer(farmer_id)).stake_bps == 5000
    await OwnSay(pool=pool).store.set_stake(farmer_id, 6000, actor="me")
    await OwnSay(pool=pool).store.set_stake(farmer_id, 6000, actor="me")
    wallet = await store.of_farmer(farmer_id)  # which is genuine
    assert wallet.stake_bps == 6000
    assert (await store.of_farmer(other)).stake_bps == 100
    log = CustodyStore(pool, ORDERS)
    (record,) = await log.latest(before=None, action="set_stake_limit", limit=9)
    assert (record.actor, record.subject) == ("me", f"wallet {wallet.id}")
    assert record.details == "5000 to 6000 ten-thousandths"


async def test_a_limit_that_somebody_wrote_is_no_limit_of_wallet(
    pool: Database, database: DatabaseAccess
) -> None:
    store, farmer_id = WalletStore(pool, ORDERS), await farmer(pool, 5000)
    async with connect(database.dsn("wallet")) as thief:
        update = "UPDATE wallet.wallets SET stake_bps = 10000 WHERE farmer_id = $1"
        await thief.execute(update, farmer_id)
    with pytest.raises(TamperedError):
        await store.of_farmer(farmer_id)
    with pytest.raises(TamperedError):
        await OwnSay(pool=pool).store.set_stake(farmer_id, 6000, actor="me")


async def test_a_farmer_without_a_wallet_has_no_limit(pool: Database) -> None:
    with pytest.raises(WalletNotFoundError):
        await OwnSay(pool=pool).store.set_stake(FarmerId(new_id()), 1, actor="me")


# What is taken up ------------------------------------------------------------------------------


async def limited(rows: WalletRows, stake_bps: int = 5000) -> WalletRow:
    """A farmer's wallet with a limit."""
    row = await rows.wallet()
    mac = ORDERS.for_wallet(
        row_id=row.id,
        kind="farmer",
        farmer_id=row.farmer_id,
        pooler_id=row.pooler_id,
        address=row.address,
        stake_bps=stake_bps,
    )
    update = "UPDATE wallet.wallets SET stake_bps = $2, mac = $3 WHERE id = $1"
    await rows.connection.execute(update, row.id, stake_bps, mac)
    return row


async def withdrawal(rows: WalletRows, owner: WalletRow, amount: int, **values: Any) -> OperationId:
    """A withdrawal of KALE, asked for now."""
    columns: dict[str, Any] = {"state": "succeeded", "requested_at": ago(1)} | values
    return await rows.payment(owner, None, amount=amount, **columns)


async def carried(rows: WalletRows, owner: WalletRow, amount: int, **values: Any) -> OperationId:
    """A withdrawal of KALE that a payer's transaction carries now."""
    payer, name, carrier = await rows.wallet("payer"), OperationId(new_id()), new_id()
    columns: dict[str, Any] = {"sequence": 5, "bump_to": 10**9, "lookup_hash": carrier.hex}
    columns |= {"max_time": int(ago(-60).timestamp())} | values
    mac = ORDERS.for_transaction(
        row_id=carrier, source=payer.address, operation_ids=[name], **columns
    )
    await rows.transaction(payer.address, "sent", id=carrier, mac=mac, **columns)
    await withdrawal(rows, owner, amount, state="sent", id=name, transaction_id=carrier)
    await rows.assign(name, payer)
    await rows.place(carrier, 1, name)
    return name


async def taken(rows: WalletRows) -> list[tuple[int, int]]:
    """The limits of what is taken up, and what was withdrawn lately."""
    found = await OperationStore(rows.pool, ORDERS).claim(WANTED, limit=9, lease=60)
    assert all(operation.is_genuine for operation in found)
    return [(operation.stake_bps, operation.withdrawn) for operation in found]


async def test_a_plant_comes_with_its_limit_and_what_was_withdrawn_lately(rows: WalletRows) -> None:
    owner, other = await limited(rows), await limited(rows)
    await rows.operation(owner, "plant", block=5, amount=7)
    await withdrawal(rows, owner, 30)
    await withdrawal(rows, owner, 4, requested_at=ago(3500))
    await withdrawal(rows, owner, 500, requested_at=ago(3700))
    await withdrawal(rows, owner, 6000, asset="xlm")
    await withdrawal(rows, other, 70_000)
    # What may have left counts; what waits, or was given up, has not left.
    await carried(rows, owner, 1_000_000)
    for state in ("queued", "failed", "expired"):
        await withdrawal(rows, owner, 10**9, state=state)
    assert await taken(rows) == [(5000, 1_000_034)]


#: How whoever has wallet's database password says that a withdrawal has left.
SAID = {
    "it was made": "UPDATE wallet.operations SET state = 'succeeded', ledger = 100, "
    "settled_at = now() WHERE id = $1",
    "another's transaction carries it": "UPDATE wallet.operations SET state = 'sent', "
    "transaction_id = (SELECT id FROM wallet.transactions WHERE state = 'sent') WHERE id = $1",
}


@pytest.mark.parametrize("said", SAID)
async def test_a_withdrawal_that_is_said_to_have_left_raises_no_stake(
    rows: WalletRows, database: DatabaseAccess, said: str
) -> None:
    owner, other = await limited(rows), await rows.wallet()
    await rows.operation(owner, "plant", block=5, amount=7)
    waiting = await withdrawal(rows, owner, 10**9, state="queued")
    await carried(rows, other, 5)
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(SAID[said], waiting)
    assert await taken(rows) == [(5000, 0)]


async def test_a_transaction_that_no_ledger_takes_any_more_carries_nothing_away(
    rows: WalletRows,
) -> None:
    owner = await limited(rows)
    await rows.operation(owner, "plant", block=5, amount=7)
    await carried(rows, owner, 30, max_time=int(ago(120).timestamp()))
    assert await taken(rows) == [(5000, 0)]


async def test_nothing_is_summed_where_nothing_depends_on_it(rows: WalletRows) -> None:
    free, harvester = await limited(rows, 10_000), await limited(rows)
    await rows.operation(free, "plant", block=5, amount=7)
    await rows.operation(harvester, "harvest", block=2)
    for owner in (free, harvester):
        await withdrawal(rows, owner, 30)
    assert sorted(await taken(rows)) == [(5000, 0), (10_000, 0)]


# Through a running wallet ----------------------------------------------------------------------


async def test_a_stake_that_nobody_agreed_to_is_not_signed_whatever_plant_says(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with (
        database_factory.create() as database,
        open_wallet_world(database, tmp_path_factory.mktemp("stakes")) as world,
    ):
        farmers = await world.create_farmers(2)
        await world.wait_until_ready(list(farmers))
        await world.pay_kale(list(farmers.values()), 10 * KALE)
        careful, free = farmers
        limit = wallet_pb2.SetStakeLimitRequest(farmer_id=careful, stake_percentage="0.5")
        assert (await world.stub.SetStakeLimit(limit)).wallet.stake_limit == "0.5"

        async def plant(stakes: dict[str, int]) -> dict[str, wallet_pb2.Operation]:
            block = await world.next_block()
            settled = await world.plant(f"plant {block}", block, stakes)
            return {operation.farmer_id: operation for operation in settled}

        settled = await plant({careful: 5 * KALE + 1, free: 6 * KALE})
        refused = settled[careful]
        assert (refused.reason, refused.transaction_hash) == (NOT_AGREED, "")
        assert settled[free].state == SUCCEEDED
        settled = await plant({careful: 5 * KALE})
        assert settled[careful].state == SUCCEEDED
