"""Harvests that reconciliation recorded are booked once, by whichever process, beside any batch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.harvest.v1 import harvest_pb2, harvest_pb2_grpc
from pydantic import SecretStr

from libs.common.grpc.client import call, open_channel
from libs.common.ids import new_id
from services.harvest.app import open_app
from services.harvest.config import HarvestSettings
from tests.support.database import DatabaseAccess, connect
from tests.support.fake_wallet import FakeWallet, fake_wallet
from tests.support.pool_world import PoolWorld

#: Its events need a partition that no batch has made.
BLOCK = 30_005


class Pool:
    """Two harvest services over one database."""

    def __init__(
        self,
        world: PoolWorld,
        wallet: FakeWallet,
        stub: "harvest_pb2_grpc.HarvestServiceAsyncStub",
    ) -> None:
        self.world = world
        self.wallet = wallet
        self.stub = stub

    async def events(self, block: int) -> int:
        """Harvests of a block."""
        return await self.world.count("harvest.harvests", f"block_index = {block}")

    async def wait_for_events(self, block: int, count: int) -> None:
        """Returns when a block has so many harvests; they must stay that many."""
        for _ in range(200):
            if await self.events(block) >= count:
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert await self.events(block) == count


def settings(database: DatabaseAccess, target: str) -> HarvestSettings:
    return HarvestSettings(
        transport="plaintext",
        port=0,
        database_url=SecretStr(database.dsn("harvest")),
        wallet_target=target,
        api_rate_limit=0,
        shutdown_grace_ms=100,
        recovery_seconds=0.1,
        harvest_sweep_seconds=0,
    )


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[Pool]:
    """Both look for what was found ten times a second."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connect(database.admin_dsn))
        wallet, target = await stack.enter_async_context(fake_wallet(database.admin_dsn))
        world = PoolWorld(connection)
        await world.head(current=BLOCK + 1)
        apps = [
            await stack.enter_async_context(open_app(settings(database, target))) for _ in range(2)
        ]
        channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{apps[0].port}"))
        yield Pool(world, wallet, harvest_pb2_grpc.HarvestServiceStub(channel))


async def balance(pool: Pool, farmer_id: object) -> tuple[int, int, int]:
    request = harvest_pb2.GetBalanceRequest(farmer_id=str(farmer_id))
    reply = await call(pool.stub.GetBalance, request, timeout=5)
    return reply.current_balance, reply.total_rewards, reply.harvests


async def test_a_found_harvest_is_booked_once_by_two_processes(pool: Pool) -> None:
    pooler = await pool.world.pooler()
    people = [await pool.world.farmer(pooler) for _ in range(20)]
    for number, person in enumerate(people):
        for block in (BLOCK, BLOCK - 1):
            await pool.world.found(
                person, block, "harvest", amount=100 + number, stake_returned=7, found_hash="ab"
            )
    await pool.wait_for_events(BLOCK, len(people))
    await pool.wait_for_events(BLOCK - 1, len(people))
    for number, person in enumerate(people):
        paid = 2 * (100 + number)
        assert await balance(pool, person.farmer_id) == (paid, paid, 2)
    request = harvest_pb2.ListHarvestsRequest(pooler_id=str(pooler), block_index=BLOCK)
    listed = (await call(pool.stub.ListHarvests, request, timeout=5)).harvests
    assert {(one.stake_returned, one.transaction_hash, one.ledger) for one in listed} == {
        (7, "ab", 103)
    }


async def test_a_harvest_that_somebody_invented_is_not_booked(pool: Pool) -> None:
    pooler = await pool.world.pooler()
    person, other = [await pool.world.farmer(pooler) for _ in range(2)]
    invented = new_id()
    pool.wallet.faults.tampered.add(invented)
    await pool.world.found(person, BLOCK, "harvest", id=invented, amount=9 * 10**17)
    await pool.world.found(other, BLOCK, "harvest", amount=100)
    await pool.wait_for_events(BLOCK, 1)
    assert await balance(pool, other.farmer_id) == (100, 100, 1)
    assert await balance(pool, person.farmer_id) == (0, 0, 0)


async def test_a_harvest_that_somebody_ended_is_not_booked(pool: Pool) -> None:
    pooler = await pool.world.pooler()
    person, other = [await pool.world.farmer(pooler) for _ in range(2)]
    for one in (person, other):
        await pool.world.worked(pooler, one, BLOCK)
    pool.wallet.faults.forged.add(person.farmer_id)
    request = harvest_pb2.HarvestRequest(block_index=BLOCK, pooler_id=str(pooler))
    reply = await call(pool.stub.Harvest, request, timeout=20)
    assert (reply.total_eligible, reply.successful_harvests) == (2, 1)
    (failed,) = [one for one in reply.harvests if one.farmer_id == str(person.farmer_id)]
    assert (failed.reason, failed.reward_amount) == (common_pb2.FAILURE_REASON_TAMPERED, 0)
    assert await balance(pool, person.farmer_id) == (0, 0, 0)


async def test_a_batch_that_joins_what_was_found_books_nothing_twice(pool: Pool) -> None:
    pooler = await pool.world.pooler()
    people = [await pool.world.farmer(pooler) for _ in range(10)]
    for person in people:
        await pool.world.worked(pooler, person, BLOCK)
    async with pool.world.connection.transaction():
        for person in people:
            await pool.world.found(person, BLOCK, "harvest", amount=100)
    # Both processes' loops write the events at this very moment, too.
    request = harvest_pb2.HarvestRequest(block_index=BLOCK, pooler_id=str(pooler))
    reply = await call(pool.stub.Harvest, request, timeout=20)
    assert reply.successful_harvests == reply.total_eligible
    await pool.wait_for_events(BLOCK, len(people))
    for person in people:
        assert await balance(pool, person.farmer_id) == (100, 100, 1)
    assert await pool.world.count("wallet.operations") == len(people)


async def test_what_is_recorded_already_stays_as_it_is(pool: Pool) -> None:
    """A record that was lost comes back under another id; its event was never lost."""
    pooler = await pool.world.pooler()
    person = await pool.world.farmer(pooler)
    await pool.world.worked(pooler, person, BLOCK)
    request = harvest_pb2.HarvestRequest(block_index=BLOCK, pooler_id=str(pooler))
    before = await call(pool.stub.Harvest, request, timeout=20)
    async with pool.world.connection.transaction():
        await pool.world.connection.execute("SET LOCAL session_replication_role = replica")
        await pool.world.connection.execute("DELETE FROM wallet.operations")
    await pool.world.found(person, BLOCK, "harvest", amount=before.total_rewards)
    await pool.wait_for_events(BLOCK, 1)
    paid = before.total_rewards
    assert await balance(pool, person.farmer_id) == (paid, paid, 1)
