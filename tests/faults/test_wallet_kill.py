"""kill -9 of the wallet at every commit edge: nothing is lost, nothing is done twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
import pytest
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2, withdrawal_pb2_grpc

from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
from tests.support.database import DatabaseFactory, connect
from tests.support.wallet_world import PATIENCE, WalletWorld, open_wallet_world

pytestmark = [pytest.mark.faults, pytest.mark.e2e]

T = TypeVar("T")
KALE = 10**7
FARMERS = 4
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
#: Failpoints that are passed once per round, except `accepted`: once per list of envelopes.
EDGES = (
    "wallet.batch.recorded",
    "wallet.transaction.signed",
    "wallet.transaction.accepted",
    "wallet.settle.before",
    "wallet.settle.after",
)

#: Query for an operation that has two envelopes in ledgers, or is settled by none.
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
    #: Stakes in that block by farmer.
    stakes: dict[str, int]


@pytest.fixture(scope="module", params=["alone", "together"])
async def farm(
    request: pytest.FixtureRequest,
    database_factory: DatabaseFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Farm]:
    """Run a farm whose onboarding already survives a kill.

    Operations go alone, or together by a multicall.
    """
    logs: Path = tmp_path_factory.mktemp("wallet_kill")
    async with (
        database_factory.create() as database,
        open_wallet_world(database, logs, ledger_seconds=0.5, block_seconds=10) as world,
    ):
        await world.wait_for_payers()
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
    """Return the result of a call during which the wallet dies at `edge` and is started again."""
    await world.wait_until_settled()  # else what is in flight reaches the edge before the call
    await world.restart(FAILPOINTS=f"{edge}=kill")
    await world.wait_until_serving()
    result, _ = await asyncio.gather(call, world.revive())
    # What was signed needs no treasury to be sent and settled: the call may be faster than it.
    await world.wait_until_serving()
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


async def paid_out(farm: Farm, payer: str, destination: str) -> wallet_pb2.Operation:
    """Withdraw 1 KALE, however often the wallet dies meanwhile."""
    request = withdrawal_pb2.WithdrawRequest(
        request_id="one",
        farmer_id=payer,
        asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
        amount=KALE,
    )
    while True:
        async with open_channel(farm.world.target) as channel:
            stub = withdrawal_pb2_grpc.WithdrawalServiceStub(channel)
            try:
                done = (await stub.Withdraw(request, timeout=PATIENCE)).withdrawal
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.2)
            else:
                assert done.destination == destination
                return done.operation


# The treasury carries withdrawals; the carrier of other operations makes no difference.
@pytest.mark.parametrize("farm", ["alone"], indirect=True)
@pytest.mark.parametrize("edge", ["wallet.withdrawal.recorded", *EDGES[1:]])
async def test_kill_during_a_withdrawal(farm: Farm, edge: str) -> None:
    world, destination_of = farm.world, farm.farmers
    taker = next(iter(farm.farmers))
    before = (await world.balances([taker]))[taker].kale_stroops
    request = wallet_pb2.CreateWalletRequest(
        farmer_id=str(new_id()), pooler_id=world.pooler_id, payout_address=destination_of[taker]
    )
    payer = (await world.stub.CreateWallet(request)).wallet
    await world.wait_until_ready([payer.farmer_id])
    await world.pay_kale([payer.address], 3 * KALE)

    done = await surviving(world, edge, paid_out(farm, payer.farmer_id, destination_of[taker]))
    assert done.state == SUCCEEDED
    found = await world.balances([taker, payer.farmer_id])
    assert found[taker].kale_stroops == before + KALE
    assert found[payer.farmer_id].kale_stroops == 2 * KALE
    async with connect(world.database.admin_dsn) as admin:
        assert await admin.fetch(DOUBLES) == []
