"""A wallet on a network that is newer than it: operations settle, by the state of the chain."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from kalepool.wallet.v1 import engine_pb2, engine_pb2_grpc, wallet_pb2

from devstack.ports import free_ports
from libs.common.grpc.client import open_channel
from tests.support.database import DatabaseAccess
from tests.support.lying_node import LyingNode
from tests.support.newer_network import CHANGES, PROTOCOL
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world

pytestmark = pytest.mark.e2e
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
#: What an operator reads of each change.
WORDS = {
    "meta": ["the state of the chain"],
    "results": ["the state of the chain", "99 is not a valid"],
    "everything": [
        f"protocol {PROTOCOL}",
        "the state of the chain",
        "the fees of others",
        "the network's limits",
    ],
}


@asynccontextmanager
async def open_newer(
    database: DatabaseAccess, logs: Path, change: str, *, nodes: int
) -> AsyncIterator[tuple[WalletWorld, list[LyingNode]]]:
    """A wallet that knows nodes of a newer network only, from its start on."""
    async with AsyncExitStack() as stack:
        (port,) = free_ports(1)
        served = [LyingNode(f"http://127.0.0.1:{port}") for _ in range(nodes)]
        for node in served:
            node.lie = CHANGES[change]
        urls = [await stack.enter_async_context(node.serve()) for node in served]
        world = await stack.enter_async_context(
            open_wallet_world(
                database,
                logs,
                block_seconds=12,
                localnet_port=port,
                STELLAR_RPC_URLS=",".join(urls),
            )
        )
        yield world, served


async def warnings_of(world: WalletWorld) -> list[str]:
    async with open_channel(world.target) as channel:
        engine = engine_pb2_grpc.EngineServiceStub(channel)
        status = await engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest())
        assert {item.state for item in status.endpoints} == {"healthy"}
        return [item for item in status.warnings if "this version of wallet" in item]


@pytest.mark.parametrize(
    ("change", "nodes"), [("meta", 1), ("results", 1), ("everything", 1), ("everything", 3)]
)
async def test_a_block_on_a_newer_network(
    database: DatabaseAccess, tmp_path: Path, change: str, nodes: int
) -> None:
    async with open_newer(database, tmp_path, change, nodes=nodes) as (world, _):
        farmers = await world.create_farmers(3)
        ids = list(farmers)
        await world.wait_until_ready(ids)
        await world.pay_kale(list(farmers.values()), 1000)
        block = await world.next_block()
        planted = await world.plant("p", block, dict.fromkeys(farmers, 100))
        assert [(item.state, item.amount) for item in planted] == [(SUCCEEDED, 100)] * 3
        assert all(item.fee_charged > 0 for item in planted)
        await world.wait_for_current(block)
        worked = await world.work("w", block, dict.fromkeys(farmers, 0), farmers)
        assert [item.state for item in worked] == [SUCCEEDED] * 3
        await world.wait_for_plantable(block + 1)
        opened = await world.plant("o", block + 1, {ids[0]: 0})
        assert [item.state for item in opened] == [SUCCEEDED]
        harvested = await world.harvest("h", block, ids)
        assert [item.state for item in harvested] == [SUCCEEDED] * 3
        after = await world.balances(ids)
        for item in harvested:
            assert item.amount > 0
            assert after[item.farmer_id].kale_stroops == 1000 + item.amount
        told = "\n".join(await warnings_of(world))
        assert [word for word in WORDS[change] if word not in told] == []
        log = world.wallet.log_tail(100_000)
        assert log.count('"about": "results of transactions"') == 1


async def test_a_network_is_upgraded_under_a_running_wallet(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    """What was sent before the upgrade settles after it, and what is newer is told from then on."""
    async with open_newer(database, tmp_path, "fields", nodes=1) as (world, (node,)):
        farmers = await world.create_farmers(1)
        (farmer,) = farmers
        await world.wait_until_ready([farmer])
        assert not await warnings_of(world)
        block = await world.next_block()
        node.lie = CHANGES["everything"]
        (planted,) = await world.plant("p", block, {farmer: 0})
        assert planted.state == SUCCEEDED
        await world.wait_until_settled()

        async def told() -> bool:
            """Limits are read again only after 60 ledgers."""
            words = "\n".join(await warnings_of(world))
            return all(word in words for word in WORDS["everything"][:-1])

        await eventually(told, "it is not told", world.wallet)
