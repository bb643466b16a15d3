"""Records that were lost or forged are found, and settled as what the chain says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from kalepool.wallet.v1 import reconcile_pb2, reconcile_pb2_grpc, wallet_pb2
from stellar_sdk.soroban_server_async import SorobanServerAsync

from cli.main import main
from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
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
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, amount, ledger, settled_at, transaction_id
)
SELECT gen_random_uuid(), 'plant', id, $2, 'succeeded', 5, 1, now(), $3
FROM wallet.wallets WHERE farmer_id = $1
"""
FORGE_WORK = """
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, nonce, hash, zeros, ledger, settled_at, transaction_id
)
SELECT
    gen_random_uuid(), 'work', id, $2, 'succeeded', 7, decode(repeat('00', 32), 'hex'), 64, 1,
    now(), $3
FROM wallet.wallets WHERE farmer_id = $1
"""
FOUND = """
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, amount, zeros, gap, ledger, settled_at, is_found
)
SELECT
    gen_random_uuid(), n.kind::wallet.operation_kind, w.id, $2, 'succeeded', n.amount, n.zeros,
    n.gap, 1, now(), true
FROM wallet.wallets AS w, (VALUES ('plant', 0, NULL, NULL), ('work', 0, 7, 3))
AS n (kind, amount, zeros, gap)
WHERE w.farmer_id = $1
"""
FETCH = """
INSERT INTO wallet.operations (id, kind, wallet_id, block_index, amount)
SELECT gen_random_uuid(), 'harvest', id, $2, 0 FROM wallet.wallets WHERE farmer_id = $1
"""
STATES = """
SELECT o.kind::text, o.state::text, o.reason FROM wallet.operations AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
WHERE w.farmer_id = $1 AND o.block_index = $2
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
FORGE_TRANSACTION = """
INSERT INTO wallet.transactions (
    id, state, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger,
    ledger, closed_at
) VALUES ($1::uuid, $4, $2, $3, $1::uuid::text, $1::uuid::text, '', 1, 1, 1, 1, now())
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
            database, tmp_path_factory.mktemp("reconcile"), RECONCILE_INTERVAL_MS="0"
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


async def test_a_record_that_only_a_pail_told_of_is_told_and_corrected(
    alone: WalletWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nodes may invent a pail; a forged record looks alike."""
    farmer, block = await grown(alone)
    (other,) = await alone.create_farmers(1)
    await alone.wait_until_ready([other])
    async with connect(alone.database.admin_dsn) as admin:
        await admin.execute(FORGE, UUID(other), block, None)
    assert (await run(alone)).found == 1
    assert await kinds(alone, other) == ["record_without_plant"]
    assert await kinds(alone, farmer) == []
    line = ["reconcile", "list", "--wallet-target", alone.target, "--transport", "plaintext"]
    assert await asyncio.to_thread(main, line) == 1
    assert "record_without_plant" in capsys.readouterr().out
    await run(alone)
    await run(alone)
    assert await kinds(alone, other) == []
    async with connect(alone.database.admin_dsn) as admin:
        (forged,) = await admin.fetch(OF_FARMER, UUID(other), block)
        assert (forged["state"], forged["reason"]) == ("failed", "REFUSED")
        # What the chain has is nobody's to deny.
        with pytest.raises(asyncpg.RaiseError, match="never changes"):
            await admin.execute(DENY, UUID(farmer), block)


async def number_of(world: WalletWorld, address: str) -> int:
    """The last sequence number that an account has used."""
    async with SorobanServerAsync(world.rpc_url) as server:
        return (await server.load_account(address)).sequence


async def forge(
    admin: Any,
    statement: str,
    farmer: str,
    block: int,
    *,
    source: str,
    number: int,
    state: str = "succeeded",
) -> None:
    """A record of a call whose transaction was to use this number of an account."""
    transaction = new_id()
    await admin.execute(FORGE_TRANSACTION, transaction, source, number, state)
    await admin.execute(statement, UUID(farmer), block, transaction)


@pytest.mark.parametrize("ahead", [0, 1], ids=["in this block", "that was to open the next one"])
async def test_what_nodes_said_had_worked_and_never_was_is_told_and_corrected(
    alone: WalletWorld, ahead: int
) -> None:
    _, block = await grown(alone)
    ((other, address),) = (await alone.create_farmers(1)).items()
    await alone.wait_until_ready([other])
    number = 1 + await number_of(alone, address)
    async with connect(alone.database.admin_dsn) as admin:
        await forge(admin, FORGE, other, block + ahead, source=address, number=number)
        await run(alone)
        assert await kinds(alone, other) == ["record_without_plant"]
        await run(alone)
        (forged,) = await admin.fetch(OF_FARMER, UUID(other), block + ahead)
        assert (forged["state"], forged["reason"]) == ("failed", "REFUSED")
    await run(alone)
    assert await kinds(alone, other) == []


async def test_a_call_that_failed_and_that_a_pail_showed_as_done_is_corrected(
    alone: WalletWorld,
) -> None:
    """Its number is used by the transaction that failed, which proves nothing of the call."""
    _, block = await grown(alone)
    ((other, address),) = (await alone.create_farmers(1)).items()
    await alone.wait_until_ready([other])
    number = await number_of(alone, address)
    async with connect(alone.database.admin_dsn) as admin:
        await forge(admin, FORGE, other, block, source=address, number=number, state="failed")
        for _ in range(2):
            await run(alone)
        (forged,) = await admin.fetch(OF_FARMER, UUID(other), block)
        assert (forged["state"], forged["reason"]) == ("failed", "REFUSED")


async def test_what_an_invented_pail_led_to_is_corrected_with_its_harvest(
    alone: WalletWorld,
) -> None:
    """Reconciliation has recorded the pail as found, and has queued its harvest."""
    _, block = await grown(alone)
    ((other, _),) = (await alone.create_farmers(1)).items()
    await alone.wait_until_ready([other])
    await grown(alone)  # the block is closed
    async with connect(alone.database.admin_dsn) as admin:
        await admin.execute(FOUND, UUID(other), block)
        await admin.execute(FETCH, UUID(other), block)

        async def corrected() -> bool:
            await run(alone)
            rows = await admin.fetch(STATES, UUID(other), block)
            return {row["state"] for row in rows} == {"failed"} and len(rows) == 3

        await eventually(corrected, "the invented pail is still recorded", alone.wallet)


async def test_whose_number_is_used_is_never_denied(alone: WalletWorld) -> None:
    """Nodes may hide a pail for a while: a true record must outlast that."""
    _, block = await grown(alone)
    ((other, address),) = (await alone.create_farmers(1)).items()
    await alone.wait_until_ready([other])
    number = await number_of(alone, address)
    async with connect(alone.database.admin_dsn) as admin:
        await forge(admin, FORGE, other, block, source=address, number=number)
        for _ in range(3):
            await run(alone)
        (forged,) = await admin.fetch(OF_FARMER, UUID(other), block)
        assert forged["state"] == "succeeded"


async def test_a_work_that_never_was_is_corrected_and_the_one_before_stays(
    alone: WalletWorld,
) -> None:
    farmer, block = await grown(alone)
    wallet = await alone.stub.GetWallet(wallet_pb2.GetWalletRequest(farmer_id=farmer))
    address = wallet.wallet.address
    number = 1 + await number_of(alone, address)
    async with connect(alone.database.admin_dsn) as admin:
        (real,) = await admin.fetch(OF_FARMER, UUID(farmer), block)
        await forge(admin, FORGE_WORK, farmer, block, source=address, number=number)
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

    async def differences() -> list[reconcile_pb2.Difference]:
        await run(alone)
        async with service(alone) as stub:
            request = reconcile_pb2.ListDifferencesRequest(include_settled=True)
            found = await stub.ListDifferences(request)
        return [item for item in found.differences if item.farmer_id == farmer]

    # Only when nodes agree on the payment's ledger, and a second comparison finds it, too.
    await eventually(differences, "the money is not found", alone.wallet)
    assert [
        (item.kind, item.recorded, item.on_chain, item.settled) for item in await differences()
    ] == [("balance_differs", "0", str(3 * KALE), "counted in")]
    # The pool's ledger is told what the account holds.
    told = (await alone.stub.ListHoldings(wallet_pb2.ListHoldingsRequest())).holdings
    (held,) = [one for one in told if one.farmer_id == farmer]
    assert held.kale == 3 * KALE
    assert held.ledger > 0
