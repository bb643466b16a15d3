"""Records that were lost or forged are found, and settled as what the chain says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from kalepool.wallet.v1 import reconcile_pb2, reconcile_pb2_grpc, wallet_pb2

from cli.main import main
from libs.common.grpc.client import open_channel
from tests.support.database import DatabaseFactory, connect
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world

KALE = 10**7
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
#: As if the database were a backup from before: triggers and foreign keys out of the way.
FORGET = """
SET session_replication_role = replica;
DELETE FROM wallet.operations WHERE kind IN ('plant', 'work', 'harvest');
"""
FORGE = """
INSERT INTO wallet.operations (id, kind, wallet_id, block_index, state, amount, ledger, settled_at)
SELECT gen_random_uuid(), 'plant', id, $2, 'succeeded', 5, 1, now()
FROM wallet.wallets WHERE farmer_id = $1
"""
FORGE_WORK = """
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, nonce, hash, zeros, ledger, settled_at
)
SELECT
    gen_random_uuid(), 'work', id, $2, 'succeeded', 7, decode(repeat('00', 32), 'hex'), 64, 1, now()
FROM wallet.wallets WHERE farmer_id = $1
"""
OF_FARMER = """
SELECT o.* FROM wallet.operations AS o INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE w.farmer_id = $1 AND o.block_index = $2 ORDER BY o.kind DESC
LIMIT 1
"""
WORKS = """
SELECT o.* FROM wallet.operations AS o INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE w.farmer_id = $1 AND o.block_index = $2 AND o.kind = 'work' ORDER BY o.zeros
"""
DENY = """
UPDATE wallet.operations SET state = 'failed', reason = 'REFUSED'
WHERE wallet_id = (SELECT id FROM wallet.wallets WHERE farmer_id = $1) AND block_index = $2
"""


@pytest.fixture(scope="module")
async def alone(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    """A world of its own: others' records are not to be lost."""
    async with (
        database_factory.create() as database,
        open_wallet_world(
            database, tmp_path_factory.mktemp("reconcile"), RECONCILE_INTERVAL="0"
        ) as world,
    ):
        yield world


@asynccontextmanager
async def service(
    world: WalletWorld,
) -> "AsyncIterator[reconcile_pb2_grpc.ReconciliationServiceAsyncStub]":
    async with open_channel(world.target) as channel:
        yield reconcile_pb2_grpc.ReconciliationServiceStub(channel)


async def run(world: WalletWorld) -> reconcile_pb2.ReconcileResponse:
    """One comparison, when everything that is known is settled."""
    async with service(world) as stub:
        return await stub.Reconcile(reconcile_pb2.ReconcileRequest())


async def kinds(world: WalletWorld, farmer: str) -> list[str]:
    """Open differences of a farmer, oldest first."""
    async with service(world) as stub:
        found = await stub.ListDifferences(reconcile_pb2.ListDifferencesRequest())
    return [item.kind for item in reversed(found.differences) if item.farmer_id == farmer]


async def grown(world: WalletWorld) -> tuple[str, int]:
    """A farmer that has planted and worked in a block."""
    farmers = await world.create_farmers(1)
    (farmer,) = farmers
    await world.wait_until_ready([farmer])
    await world.pay_kale(list(farmers.values()), 10 * KALE)
    block = await world.next_block()
    await world.plant(f"plant {farmer}", block, {farmer: KALE})
    await world.work(f"work {farmer}", block, {farmer: 11}, farmers)
    return farmer, block


async def test_lost_records_are_found_and_the_reward_is_fetched(alone: WalletWorld) -> None:
    farmer, block = await grown(alone)
    assert (await run(alone)).found == 0
    async with connect(alone.database.admin_dsn) as admin:
        await admin.execute(FORGET)
    report = await run(alone)
    assert (report.found, report.settled) == (2, 1)
    assert await kinds(alone, farmer) == ["plant_without_record", "work_without_record"]
    opener, following = await grown(alone)
    assert following > block

    async def harvested() -> bool:
        await run(alone)
        return (await alone.balances([farmer]))[farmer].kale_stroops > 10 * KALE

    await eventually(harvested, "the reward is not fetched", alone.wallet)
    await run(alone)
    assert await kinds(alone, farmer) == []
    assert await kinds(alone, opener) == []


async def test_a_record_of_what_never_was_is_told_and_then_corrected(
    alone: WalletWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """As nodes make it that lie about a result, or an insider."""
    farmer, block = await grown(alone)
    (other,) = await alone.create_farmers(1)
    await alone.wait_until_ready([other])
    async with connect(alone.database.admin_dsn) as admin:
        await admin.execute(FORGE, UUID(other), block)
    assert (await run(alone)).found == 1
    assert await kinds(alone, other) == ["record_without_plant"]
    assert await kinds(alone, farmer) == []
    line = ["reconcile", "list", "--wallet-target", alone.target, "--transport", "plaintext"]
    assert await asyncio.to_thread(main, line) == 1
    assert "record_without_plant" in capsys.readouterr().out
    assert (await run(alone)).settled == 1
    await run(alone)
    assert await kinds(alone, other) == []
    async with connect(alone.database.admin_dsn) as admin:
        (forged,) = await admin.fetch(OF_FARMER, UUID(other), block)
        assert (forged["state"], forged["reason"]) == ("failed", "REFUSED")
        # What the chain has is nobody's to deny.
        with pytest.raises(asyncpg.RaiseError, match="never changes"):
            await admin.execute(DENY, UUID(farmer), block)


async def test_plants_that_were_to_open_a_block_and_never_were_are_corrected(
    alone: WalletWorld,
) -> None:
    farmer, block = await grown(alone)
    async with connect(alone.database.admin_dsn) as admin:
        await admin.execute(FORGE, UUID(farmer), block + 1)
        await run(alone)
        assert await kinds(alone, farmer) == ["record_without_plant"]
        await run(alone)
        (forged,) = await admin.fetch(OF_FARMER, UUID(farmer), block + 1)
        assert forged["state"] == "failed"


async def test_a_work_that_never_was_is_corrected_and_the_one_before_stays(
    alone: WalletWorld,
) -> None:
    farmer, block = await grown(alone)
    async with connect(alone.database.admin_dsn) as admin:
        (real,) = await admin.fetch(OF_FARMER, UUID(farmer), block)
        await admin.execute(FORGE_WORK, UUID(farmer), block)
        await run(alone)
        assert await kinds(alone, farmer) == ["record_without_work"]
        await run(alone)
        rows = await admin.fetch(WORKS, UUID(farmer), block)
        assert [(row["zeros"], row["state"]) for row in rows] == [
            (real["zeros"], "succeeded"),
            (64, "failed"),
        ]


async def test_money_that_no_operation_explains_is_found_once(alone: WalletWorld) -> None:
    farmers = await alone.create_farmers(1)
    (farmer,) = farmers
    await alone.wait_until_ready([farmer])
    await run(alone)
    await alone.pay_kale(list(farmers.values()), 3 * KALE)
    await run(alone)
    await run(alone)
    async with service(alone) as stub:
        request = reconcile_pb2.ListDifferencesRequest(include_settled=True)
        found = await stub.ListDifferences(request)
    mine = [item for item in found.differences if item.farmer_id == farmer]
    assert [(item.kind, item.recorded, item.on_chain, item.settled) for item in mine] == [
        ("balance_differs", "0", str(3 * KALE), "counted in")
    ]
