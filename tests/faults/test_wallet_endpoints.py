"""Several Stellar endpoints that break during a batch: the batch ends as if none had broken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from kalepool.wallet.v1 import wallet_pb2

from devstack.ports import free_ports
from devstack.processes import Command, Process
from tests.support.database import DatabaseFactory, connect
from tests.support.json_rpc import ScriptedNode
from tests.support.tcp_relay import TcpRelay, open_relay
from tests.support.wallet_world import WalletWorld, open_wallet_world

pytestmark = [pytest.mark.faults, pytest.mark.e2e]

KALE = 10**7
FARMERS = 12
STAKE = 3 * KALE
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """A wallet with many endpoints, two of which lead to its localnet."""

    #: The wallet, its localnet, its database.
    world: WalletWorld
    #: Addresses by farmer.
    farmers: dict[str, str]
    #: The two relays to the localnet, the preferred relay first.
    relays: tuple[TcpRelay, TcpRelay]


@pytest.fixture(scope="module")
async def crowd(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Crowd]:
    """Run a wallet whose settings list bad endpoints before the two sound ones.

    In the order of the settings: one answers after 30 s, one is on another network, one says
    nothing at all, one speaks HTML, and then come the two sound ones.
    """
    logs: Path = tmp_path_factory.mktemp("wallet_endpoints")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(database_factory.create())
        world = await stack.enter_async_context(open_wallet_world(database, logs, block_seconds=8))
        port = int(world.rpc_url.rpartition(":")[2])
        relays = [await stack.enter_async_context(open_relay("127.0.0.1", port)) for _ in range(2)]
        slow, html = ScriptedNode(passphrase=""), ScriptedNode(passphrase="")
        slow.delay = 30.0
        html.garbage = lambda _: web.Response(text="<html>")
        (elsewhere,) = free_ports(1)
        other = Process(
            Command(
                name="elsewhere",
                arguments=("-m", "localnet", "--port", str(elsewhere)),
                environment={"LOCALNET_PASSPHRASE": "Another Network"},
            ),
            logs,
        )
        await other.start()
        stack.push_async_callback(other.stop)
        urls = [
            await stack.enter_async_context(slow.serve()),
            f"http://127.0.0.1:{elsewhere}",
            "http://127.0.0.1:1",
            await stack.enter_async_context(html.serve()),
            *(f"http://127.0.0.1:{relay.port}" for relay in relays),
        ]
        world.environment |= {"STELLAR_RPC_URLS": ",".join(urls), "STELLAR_HEDGE_MS": "300"}
        await world.restart()
        await world.wait_until_serving()
        farmers = await world.create_farmers(FARMERS)
        await world.wait_until_ready(list(farmers))
        await world.pay_kale(list(farmers.values()), 1000 * KALE)
        first, second = relays
        yield Crowd(world=world, farmers=farmers, relays=(first, second))


async def flap(relays: tuple[TcpRelay, TcpRelay]) -> None:
    """Cut one relay after the other for a while, so that one is always there.

    What decides needs the word of both, so both are there in between, for longer than it takes a
    busy machine to ask them.
    """
    while True:
        for relay in relays:
            await relay.cut()
            await asyncio.sleep(1.5)
            await relay.mend()
            await asyncio.sleep(2.5)


async def test_a_batch_ends_the_same_whichever_endpoint_breaks(crowd: Crowd) -> None:
    world, ids = crowd.world, list(crowd.farmers)
    before = await world.balances(ids)
    flapping = asyncio.create_task(flap(crowd.relays))
    try:
        block = await world.next_block()
        plants = await world.plant("plant in trouble", block, dict.fromkeys(ids, STAKE))
    finally:
        flapping.cancel()
        await asyncio.gather(flapping, return_exceptions=True)
        for relay in crowd.relays:
            await relay.cut()
            await relay.mend()
    assert {plant.farmer_id for plant in plants} == set(ids)
    await world.wait_for_ledger(max(plant.ledger for plant in plants))
    after = await world.balances(ids)
    for plant in plants:
        paid = before[plant.farmer_id].kale_stroops - after[plant.farmer_id].kale_stroops
        assert paid == (STAKE if plant.state == SUCCEEDED else 0), plant
    assert {plant.state for plant in plants} == {SUCCEEDED}, plants
    async with connect(world.database.admin_dsn) as admin:
        assert (
            await admin.fetchval("SELECT count(*) FROM wallet.transactions WHERE state = 'sent'")
            == 0
        )


async def test_the_preferred_endpoint_goes_for_good(crowd: Crowd) -> None:
    world, ids = crowd.world, list(crowd.farmers)
    block = await world.next_block()
    batch = asyncio.create_task(world.plant("plant by the other", block, dict.fromkeys(ids, STAKE)))
    await crowd.relays[0].cut()
    assert {plant.state for plant in await batch} == {SUCCEEDED}
    await crowd.relays[0].mend()
