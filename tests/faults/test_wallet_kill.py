"""kill -9 of the wallet at every commit edge: nothing is lost, nothing is done twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from kalepool.wallet.v1 import wallet_pb2

from tests.support.database import DatabaseFactory, connect
from tests.support.wallet_world import WalletWorld, open_wallet_world

pytestmark = [pytest.mark.faults, pytest.mark.e2e]

T = TypeVar("T")
KALE = 10**7
FARMERS = 4
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
#: Passed once per round, but `accepted`: once per envelope.
EDGES = (
    "wallet.batch.recorded",
    "wallet.transaction.signed",
    "wallet.transaction.accepted",
    "wallet.settle.before",
    "wallet.settle.after",
)

#: An operation that has two envelopes in ledgers, or is settled by none.
DOUBLES = """
SELECT o.id, o.kind, o.state, count(t.id) AS included
FROM wallet.operations AS o
LEFT JOIN wallet.transaction_operations AS c ON o.id = c.operation_id
LEFT JOIN wallet.transactions AS t ON c.transaction_id = t.id AND t.ledger IS NOT NULL
GROUP BY o.id
HAVING count(t.id) <> 1 OR o.state <> 'succeeded'
"""


@dataclass(kw_only=True)
class Farm:
    """A wallet with farmers that have KALE and a block to harvest."""

    #: The processes.
    world: WalletWorld
    #: Address by farmer.
    farmers: dict[str, str]
    #: Block that was planted and worked, and not harvested.
    ripe: int
    #: Stakes in it by farmer.
    stakes: dict[str, int]


@pytest.fixture(scope="module", params=["alone", "together"])
async def farm(
    request: pytest.FixtureRequest,
    database_factory: DatabaseFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Farm]:
    """Already its onboarding survives a kill. Operations go alone, or together by a multicall."""
    logs: Path = tmp_path_factory.mktemp("wallet_kill")
    async with (
        database_factory.create() as database,
        open_wallet_world(database, logs, ledger_seconds=0.5, block_seconds=10) as world,
    ):
        await world.restart(FAILPOINTS="wallet.transaction.accepted=kill")
        await world.wait_until_serving()
        farmers, _ = await asyncio.gather(world.create_farmers(FARMERS), world.revive())
        await world.wait_until_ready(list(farmers))
        if request.param == "together":
            await world.use_multicall(channels=3)
        await world.pay_kale(list(farmers.values()), 100 * KALE)
        block, stakes = await world.next_block(), dict.fromkeys(farmers, KALE)
        await world.plant("first plant", block, stakes)
        await world.work("first work", block, dict.fromkeys(farmers, 11), farmers)
        yield Farm(world=world, farmers=farmers, ripe=block, stakes=stakes)


async def surviving(world: WalletWorld, edge: str, call: Awaitable[T]) -> T:
    """The result of a call in whose middle the wallet dies at `edge` and is started again."""
    await world.restart(FAILPOINTS=f"{edge}=kill")
    await world.wait_until_serving()
    result, _ = await asyncio.gather(call, world.revive())
    return result


@pytest.mark.parametrize("edge", EDGES)
async def test_kill_at_commit_edge(farm: Farm, edge: str) -> None:
    world, farmers, ids = farm.world, farm.farmers, list(farm.farmers)
    before = await world.balances(ids)
    block = await world.next_block()

    stakes = {farmer: (number + 1) * KALE for number, farmer in enumerate(ids)}
    plants = await surviving(world, edge, world.plant(f"plant {edge}", block, stakes))
    assert {item.farmer_id: item.amount for item in plants} == stakes
    assert {item.state for item in plants} == {SUCCEEDED}, plants
    planted = await world.balances(ids)
    for farmer in ids:
        paid = before[farmer].kale_stroops - planted[farmer].kale_stroops
        assert paid == stakes[farmer]

    works = await world.work(f"work {edge}", block, dict.fromkeys(ids, 11), farmers)
    assert {item.state for item in works} == {SUCCEEDED}, works

    harvests = await surviving(world, edge, world.harvest(f"harvest {edge}", farm.ripe, ids))
    assert {item.state for item in harvests} == {SUCCEEDED}, harvests
    after = await world.balances(ids)
    for item in harvests:
        gained = after[item.farmer_id].kale_stroops - planted[item.farmer_id].kale_stroops
        assert gained == item.amount + farm.stakes[item.farmer_id]
    farm.ripe, farm.stakes = block, stakes

    async with connect(world.database.admin_dsn) as admin:
        assert await admin.fetch(DOUBLES) == []
