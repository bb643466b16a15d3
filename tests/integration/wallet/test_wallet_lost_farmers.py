"""Farmers whose account was merged, or whose line was removed, come back and farm on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from kalepool.wallet.v1 import wallet_pb2
from stellar_sdk import AccountMerge, ChangeTrust
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.ids import WalletId
from localnet.network import Network
from services.wallet.store.lost_farmers import LostFarmerStore
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.owner import owner_of
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world

KALE = 10**7
AGO = datetime.now(UTC) - timedelta(hours=25)


async def registered(rows: WalletRows, row: WalletRow, status: str = "active") -> WalletRow:
    """Have registry know the farmer."""
    await rows.insert(
        "registry.poolers",
        id=row.pooler_id,
        name="pooler",
        public_key=f"G{row.owner.hex.upper():A<55}",
        max_farmers=10,
        current_farmers=1,
    )
    await rows.insert(
        "registry.farmers",
        id=row.owner,
        wallet_id=row.id,
        custodial_public_key=row.address,
        pooler_id=row.pooler_id,
        status=status,
        request_id=str(row.owner),
        digest=b"",
    )
    return row


async def lost(rows: WalletRows, *, status: str = "active", **values: object) -> WalletRow:
    """Write a farmer's wallet whose account is gone, unless `values` say otherwise."""
    account = {"is_funded": False, "has_trustline": False, "ledger": LEDGER, **values}
    return await registered(rows, await rows.wallet(**account), status)  # type: ignore[arg-type]


async def found(rows: WalletRows, limit: int = 99) -> set[WalletId]:
    """Return the wallets that seem to be lost."""
    return set(await LostFarmerStore(rows.pool, ORDERS).find(limit=limit))


async def test_who_farms_and_has_no_account_or_no_line_seems_lost(rows: WalletRows) -> None:
    merged = await lost(rows)
    lineless = await lost(rows, is_funded=True)
    await lost(rows, is_funded=True, has_trustline=True)
    await lost(rows, status="suspended")
    await lost(rows, status="departed")
    await lost(rows, ledger=0)
    await registered(rows, await rows.wallet(status="pending", ledger=LEDGER))
    await rows.wallet(ledger=LEDGER)  # registry does not know it
    await rows.wallet("channel", ledger=LEDGER)
    assert await found(rows) == {merged.id, lineless.id}
    assert len(await found(rows, limit=1)) == 1


async def test_who_is_on_the_way_or_was_lately_is_left_alone(rows: WalletRows) -> None:
    free, waiting, lately, before = [await lost(rows) for _ in range(4)]
    await rows.operation(waiting, "onboard", "queued", created_at=AGO)
    await rows.operation(lately, "onboard", "failed")
    await rows.operation(before, "onboard", "succeeded", created_at=AGO, ledger=LEDGER)
    await rows.operation(free, "withdraw", "queued")
    assert await found(rows) == {free.id, before.id}


async def test_who_may_not_be_signed_for_is_left_alone(rows: WalletRows) -> None:
    paused, forged = await lost(rows), await lost(rows)
    await rows.insert(
        "wallet.pauses",
        id=paused.id,
        scope="wallet",
        target=paused.id,
        reason="a test",
        paused_by="test",
    )
    await rows.connection.execute(
        "UPDATE wallet.wallets SET stake_bps = 7 WHERE id = $1", forged.id
    )
    assert await found(rows) == set()


async def test_who_is_brought_back_is_pending_with_an_order_of_wallet(rows: WalletRows) -> None:
    first, second, third = [await lost(rows) for _ in range(3)]
    await rows.operation(third, "onboard", "queued")
    store = LostFarmerStore(rows.pool, ORDERS)
    assert await store.bring_back([first.id, second.id, third.id], ledger=LEDGER) == 2
    assert await store.bring_back([first.id], ledger=LEDGER + 1) == 0
    states = await rows.connection.fetch("SELECT id, status FROM wallet.wallets ORDER BY id")
    assert {row["id"]: row["status"] for row in states} == {
        first.id: "pending",
        second.id: "pending",
        third.id: "ready",
    }
    made = await rows.connection.fetch(
        "SELECT o.*, o.id AS operation_id, w.kind AS wallet_kind, w.farmer_id, w.pooler_id,"
        " w.address, w.stake_bps, w.mac AS wallet_mac FROM wallet.operations AS o"
        " INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id WHERE w.id = ANY($1)",
        [first.id, second.id],
    )
    assert [(row["kind"], row["block_index"], row["state"]) for row in made] == [
        ("onboard", LEDGER, "queued")
    ] * 2
    assert all(map(ORDERS.is_claimed, made))


async def test_a_merged_account_and_a_removed_line_come_back(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    async with (
        open_wallet_world(database, tmp_path, ledger_seconds=0.3) as world,
        SorobanServerAsync(world.rpc_url) as rpc,
    ):
        farmers = await world.create_farmers(2)
        await world.wait_until_ready(list(farmers))
        await _register(world, farmers)
        line, merged = Network(), list(farmers)
        await (await owner_of(world, merged[0], rpc)).does(
            ChangeTrust(line.kale, "0"), AccountMerge(line.faucet.public_key)
        )
        await (await owner_of(world, merged[1], rpc)).does(ChangeTrust(line.kale, "0"))
        async with connect(database.admin_dsn) as admin:
            # They were brought onto the chain a day ago, as far as the records say.
            await admin.execute(
                "ALTER TABLE wallet.operations DISABLE TRIGGER USER;"
                "UPDATE wallet.operations SET created_at = created_at - interval '25 h';"
                "ALTER TABLE wallet.operations ENABLE TRIGGER USER"
            )

        async def are_back() -> bool:
            """Tell whether both have been brought onto the chain twice."""
            request = wallet_pb2.ListOperationsRequest(
                kind=wallet_pb2.OPERATION_KIND_ONBOARD,
                state=wallet_pb2.OPERATION_STATE_SUCCEEDED,
            )
            return len((await world.stub.ListOperations(request)).operations) == 4

        await eventually(are_back, "the farmers are not brought back", world.wallet)
        await world.wait_until_ready(merged)
        await world.pay_kale(list(farmers.values()), 10 * KALE)


async def _register(world: WalletWorld, farmers: dict[str, str]) -> None:
    async with connect(world.database.admin_dsn) as admin:
        await admin.execute(
            "INSERT INTO registry.poolers (id, name, public_key, max_farmers, current_farmers)"
            " VALUES ($1, 'pooler', 'G', 10, 2)",
            world.pooler_id,
        )
        await admin.execute(
            "INSERT INTO registry.farmers (id, wallet_id, custodial_public_key, pooler_id, status,"
            " request_id, digest)"
            " SELECT w.farmer_id, w.id, w.address, w.pooler_id, 'active', w.address, ''"
            " FROM wallet.wallets AS w WHERE w.farmer_id = ANY($1::uuid[])",
            list(farmers),
        )
