"""A wallet with three nodes, one of which lies, goes through a block as if there were no liar."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kalepool.wallet.v1 import engine_pb2, engine_pb2_grpc, wallet_pb2

from devstack.ports import free_ports
from libs.common.grpc.client import open_channel
from tests.support.database import DatabaseAccess
from tests.support.lying_node import Frozen, Lie, LyingNode, nothing_there, plus, truth
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world

pytestmark = pytest.mark.e2e
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED


def refuses(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Every simulation fails."""
    if method != "simulateTransaction":
        return result
    height = {"latestLedger": result["latestLedger"]}
    return {**height, "error": "HostError: Error(Contract, #4)", "events": []}


def dear(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Inclusion costs a hundred XLM."""
    if method != "getFeeStats":
        return result
    return {**result, "sorobanInclusionFee": {"p90": "1000000000"}}


def greedy(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """Calls cost a hundred times as much."""
    if "minResourceFee" not in result:
        return result
    return {**result, "minResourceFee": str(int(result["minResourceFee"]) * 100)}


LIES: dict[str, Callable[[], Lie]] = {
    "10 ledgers": lambda: plus(10),
    "1,000 s": lambda: plus(seconds=1000),
    "nothing there": lambda: nothing_there,
    "frozen": Frozen,
    "refuses": lambda: refuses,
    "dear": lambda: dear,
    "greedy": lambda: greedy,
}


@asynccontextmanager
async def open_liars(
    database: DatabaseAccess, logs: Path
) -> AsyncIterator[tuple[WalletWorld, list[LyingNode]]]:
    """Three nodes, all honest at first, and a wallet that knows them only."""
    async with AsyncExitStack() as stack:
        (port,) = free_ports(1)
        nodes = [LyingNode(f"http://127.0.0.1:{port}") for _ in range(3)]
        urls = [await stack.enter_async_context(node.serve()) for node in nodes]
        world = await stack.enter_async_context(
            open_wallet_world(
                database,
                logs,
                block_seconds=12,
                localnet_port=port,
                STELLAR_RPC_URLS=",".join(urls),
            )
        )
        yield world, nodes


@pytest.mark.parametrize(
    ("name", "place"), [*((name, 0) for name in LIES), ("10 ledgers", 2), ("1,000 s", 2)]
)
async def test_a_block_beside_a_liar(
    database: DatabaseAccess, tmp_path: Path, name: str, place: int
) -> None:
    async with open_liars(database, tmp_path) as (world, nodes):
        farmers = await world.create_farmers(3)
        await world.wait_until_ready(list(farmers))
        await world.pay_kale(list(farmers.values()), 1000)
        nodes[place].lie = LIES[name]()
        block = await world.next_block()
        planted = await world.plant("p", block, dict.fromkeys(farmers, 100))
        assert [item.state for item in planted] == [SUCCEEDED] * 3
        await world.wait_for_current(block)
        worked = await world.work("w", block, dict.fromkeys(farmers, 0), farmers)
        assert [item.state for item in worked] == [SUCCEEDED] * 3
        await world.next_block()
        async with open_channel(world.target) as channel:
            engine = engine_pb2_grpc.EngineServiceStub(channel)

            async def fine() -> bool:
                status = await engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest())
                others = [item for at, item in enumerate(status.endpoints) if at != place]
                return [item.state for item in others] == ["healthy"] * 2

            await eventually(fine, "an honest node is not used", world.wallet)
        nodes[place].lie = truth
