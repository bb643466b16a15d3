"""Reserves of farmers: no more than a pooler's budget of a day, and back from who never planted."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc
import pytest
from kalepool.wallet.v1 import engine_pb2, engine_pb2_grpc, wallet_pb2
from stellar_sdk import Asset, Payment, SetOptions
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.grpc.client import open_channel
from libs.common.grpc.errors import from_rpc_error
from libs.common.ids import new_id
from localnet.network import Network
from tests.support.database import connect
from tests.support.owner import Owner, owner_of
from tests.support.wallet_world import PATIENCE, WalletWorld, eventually

Outcome = engine_pb2.ReclaimOutcome
_AGE = "UPDATE wallet.wallets SET created_at = now() - interval '25 hours' WHERE farmer_id = $1"


@pytest.fixture
async def rpc(world: WalletWorld) -> AsyncIterator[SorobanServerAsync]:
    """A node that owners send to."""
    async with SorobanServerAsync(world.rpc_url) as opened:
        yield opened


async def reclaim(
    world: WalletWorld, farmers: Sequence[str], *, dry_run: bool = False
) -> dict[str, str]:
    """What becomes of these farmers' accounts, by farmer."""
    request = engine_pb2.ReclaimReservesRequest(
        pooler_id=world.pooler_id, farmer_ids=farmers, dry_run=dry_run
    )
    async with open_channel(world.target) as channel:
        engine = engine_pb2_grpc.EngineServiceStub(channel)
        reply = await engine.ReclaimReserves(request, timeout=PATIENCE)
    return {
        item.farmer_id: Outcome.Name(item.outcome).removeprefix("RECLAIM_OUTCOME_")
        for item in reply.farmers
    }


async def reserves(world: WalletWorld) -> int:
    """Reserves that the treasury sponsors, as last read."""
    async with connect(world.database.admin_dsn) as admin:
        return int(
            await admin.fetchval(
                "SELECT a.reserves FROM wallet.accounts AS a"
                " INNER JOIN wallet.wallets AS w ON w.id = a.wallet_id WHERE w.kind = 'treasury'"
            )
        )


async def aged_farmers(world: WalletWorld, count: int) -> dict[str, str]:
    """Farmers that were made more than a day ago; addresses by farmer."""
    farmers = await world.create_farmers(count)
    await world.wait_until_ready(list(farmers))
    async with connect(world.database.admin_dsn) as admin:
        for farmer in farmers:
            await admin.execute(_AGE, farmer)
    return farmers


async def test_only_who_never_planted_and_holds_nothing_gives_its_reserves_back(
    world: WalletWorld, rpc: SorobanServerAsync
) -> None:
    farmers = await aged_farmers(world, 6)
    idle, too, planted, rich, native, locked = farmers
    block = await world.next_block()
    await world.plant(f"reclaim {block}", block, {planted: 0})
    await world.pay_kale([farmers[rich]], 1)
    faucet = Owner(rpc=rpc, key=Network().faucet)
    await faucet.does(Payment(farmers[native], Asset.native(), "0.0000001"))
    await (await owner_of(world, locked, rpc)).does(SetOptions(high_threshold=2))
    expected = {
        idle: "RECLAIMED",
        too: "RECLAIMED",
        rich: "HOLDS_SOMETHING",
        native: "HOLDS_SOMETHING",
        locked: "LOCKED",
    }
    assert await reclaim(world, list(farmers), dry_run=True) == expected
    assert (await world.balances([idle]))[idle].is_funded
    before = await reserves(world)
    # Twice at once: each account is merged once, and both calls end.
    both = await asyncio.gather(*(reclaim(world, list(farmers)) for _ in range(2)))
    assert both[0] == expected
    assert both[1].items() <= (expected | {idle: both[1].get(idle), too: both[1].get(too)}).items()
    shown = await world.balances(list(farmers))
    assert [shown[item].is_funded for item in farmers] == [False, False, True, True, True, True]

    async def came_back() -> bool:
        return await reserves(world) == before - 2 * 3

    await eventually(came_back, "the reserves did not come back", world.wallet)

    async def is_known() -> bool:
        """Tell whether wallet knows that they are gone: a later ledger has to show it, too."""
        return await reclaim(world, [idle, too]) == {}

    await eventually(is_known, "the accounts do not count as gone", world.wallet)


async def test_who_is_new_or_has_something_open_is_left_alone(world: WalletWorld) -> None:
    farmers = await world.create_farmers(1)
    await world.wait_until_ready(list(farmers))
    assert await reclaim(world, list(farmers)) == {}
    (busy,) = await aged_farmers(world, 1)
    async with connect(world.database.admin_dsn) as admin:
        await admin.execute(
            "INSERT INTO wallet.operations (id, kind, wallet_id, block_index, due_at)"
            " SELECT gen_random_uuid(), 'harvest', id, 0, now() + interval '1 minute'"
            " FROM wallet.wallets WHERE farmer_id = $1",
            busy,
        )
    assert await reclaim(world, [busy]) == {}


async def test_a_pooler_gets_no_more_wallets_than_its_budget_sponsors(world: WalletWorld) -> None:
    """Another pooler does, and so does whoever asks again for a wallet that there is."""
    greedy, other = str(new_id()), str(new_id())
    # Two farmers of 1.5 XLM.
    await world.restart(SPONSORED_DAILY_PER_POOLER_STROOPS="44999999")
    await world.wait_until_serving()
    try:
        made = [
            wallet_pb2.CreateWalletRequest(farmer_id=str(new_id()), pooler_id=greedy)
            for _ in range(2)
        ]
        for request in (*made, *made):
            await world.stub.CreateWallet(request, timeout=PATIENCE)
        third = wallet_pb2.CreateWalletRequest(farmer_id=str(new_id()), pooler_id=greedy)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.stub.CreateWallet(third, timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        elsewhere = wallet_pb2.CreateWalletRequest(farmer_id=str(new_id()), pooler_id=other)
        await world.stub.CreateWallet(elsewhere, timeout=PATIENCE)
    finally:
        await world.restart()
        await world.wait_until_serving()
    # Once there is room, the same request has its wallet.
    await world.stub.CreateWallet(third, timeout=PATIENCE)


async def test_nothing_is_deployed_or_merged_while_everything_is_paused(
    world: WalletWorld,
) -> None:
    """Waiting for a ledger would end with the caller's deadline, and with the wrong reason."""
    (idle,) = await aged_farmers(world, 1)
    request = engine_pb2.DeployMulticallRequest(max_fee_stroops=10**9)
    async with open_channel(world.target) as channel:
        engine = engine_pb2_grpc.EngineServiceStub(channel)
        async with world.paused():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await engine.DeployMulticall(request, timeout=PATIENCE)
            assert await reclaim(world, [idle]) == {}
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert from_rpc_error(caught.value).reason == "SIGNING_PAUSED"
        assert not (await engine.DeployMulticall(request, timeout=PATIENCE)).already_there
    assert await reclaim(world, [idle], dry_run=True) == {idle: "RECLAIMED"}
