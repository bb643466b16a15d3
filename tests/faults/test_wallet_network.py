"""A node that misbehaves: its silence is never taken for "not included"."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2

from tests.support.database import DatabaseFactory, connect
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world

pytestmark = [pytest.mark.faults, pytest.mark.e2e]

KALE = 10**7
FARMERS = 3
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
Farm = tuple[WalletWorld, dict[str, str]]


@pytest.fixture(scope="module")
async def farm(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Farm]:
    """Run a wallet with farmers that have KALE; yield it with addresses by farmer."""
    logs: Path = tmp_path_factory.mktemp("wallet_network")
    async with (
        database_factory.create() as database,
        open_wallet_world(database, logs, ledger_seconds=0.5, block_seconds=8) as world,
    ):
        farmers = await world.create_farmers(FARMERS)
        await world.wait_until_ready(list(farmers))
        await world.pay_kale(list(farmers.values()), 1000 * KALE)
        yield world, farmers


async def misbehave(world: WalletWorld, **faults: Any) -> None:
    """Set the faults of the localnet; end all its other faults."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{world.rpc_url}/faults", json={"reset": True, **faults}) as reply,
    ):
        assert reply.status == 200, await reply.text()


FAULTS: dict[str, dict[str, Any]] = {
    "answer of a send is lost": {"drops": {"sendTransaction": 3}},
    "sends fail": {"failures": {"sendTransaction": 3}},
    "try again later": {"try_again_later": 3},
    "lookups fail": {"failures": {"getTransaction": 20}},
    "lookups are lost": {"drops": {"getTransaction": 20}},
    "simulations fail": {"failures": {"simulateTransaction": 3}},
    "entries fail": {"failures": {"getLedgerEntries": 5}},
    "slow node": {"delays": {"sendTransaction": 0.7, "getTransaction": 0.3}},
}


@pytest.mark.parametrize("name", FAULTS)
async def test_plants_are_made_once(farm: Farm, name: str) -> None:
    world, farmers = farm
    ids = list(farmers)
    before = await world.balances(ids)
    block = await world.next_block()
    await misbehave(world, **FAULTS[name])
    plants = await world.plant(f"plant {name}", block, dict.fromkeys(ids, KALE))
    await misbehave(world)
    after = await world.balances(ids)
    for item in plants:
        paid = before[item.farmer_id].kale_stroops - after[item.farmer_id].kale_stroops
        assert paid == (KALE if item.state == SUCCEEDED else 0), item
    assert {item.state for item in plants} == {SUCCEEDED}, plants
    await world.wait_for_ledger(max(item.ledger for item in plants))


async def test_an_envelope_that_no_ledger_takes_expires_by_proof(farm: Farm) -> None:
    """The node says PENDING and forgets: a new envelope only after the bound, and it works."""
    world, farmers = farm
    farmer = next(iter(farmers))
    block = await world.next_block()
    await misbehave(world, failures={"sendTransaction": 1000})
    task = asyncio.create_task(world.plant("plant expiring", block, {farmer: KALE}))

    async def signed_again() -> bool:
        async with connect(world.database.admin_dsn) as admin:
            count = await admin.fetchval(
                "SELECT count(*) FROM wallet.transactions WHERE state = 'excluded'"
            )
        return bool(count)

    await eventually(signed_again, "nothing was excluded", world.wallet)
    await misbehave(world)
    (plant,) = await task
    closed = common_pb2.FAILURE_REASON_BLOCK_CLOSED
    assert plant.state == SUCCEEDED or plant.reason == closed, plant
    async with connect(world.database.admin_dsn) as admin:
        overlaps = await admin.fetch(
            """
            SELECT a.id FROM wallet.transactions AS a
            INNER JOIN wallet.transactions AS b ON a.source = b.source AND a.id < b.id
            WHERE b.created_at < a.closed_at
            """
        )
    assert overlaps == []


async def test_a_node_that_is_away_makes_the_wallet_unavailable_for_as_long(farm: Farm) -> None:
    world, farmers = farm
    await misbehave(world, failures=dict.fromkeys(["getTransaction", "getLedgerEntries"], 10**6))
    target = wallet_pb2.GetBalancesRequest(farmer_ids=list(farmers))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.stub.GetBalances(target)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    async def away() -> bool:
        request = wallet_pb2.PlantRequest(
            block_index=1,
            operation=wallet_pb2.PlantOperation(farmer_id=next(iter(farmers)), stake=0),
        )
        try:
            await world.stub.Plant(request, timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAVAILABLE
        return False

    async def unhealthy() -> bool:
        return not await world.serves()

    await eventually(unhealthy, "the wallet still says that it serves")
    await eventually(away, "a plant is not refused as UNAVAILABLE")
    await misbehave(world)
    await world.wait_until_serving()
    assert len((await world.stub.GetBalances(target)).balances) == FARMERS
