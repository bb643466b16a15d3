"""Payouts on a localnet: everybody gets what was agreed, to the stroop."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import (
    custody_pb2,
    custody_pb2_grpc,
    order_pb2,
    order_pb2_grpc,
    payout_pb2,
    wallet_pb2,
)
from stellar_sdk import Keypair
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.clock import micros_of
from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
from tests.support.database import DatabaseFactory, connect
from tests.support.payers import KALE, Outside
from tests.support.payout_world import SETTINGS, PayoutWorld
from tests.support.wallet_world import (
    PATIENCE,
    WalletWorld,
    eventually,
    open_wallet_world,
)

SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
OPERATOR = Keypair.random()
Parts = payout_pb2.FeeParts


@pytest.fixture(scope="module")
async def payout_world(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    """A wallet with an operator who takes a part."""
    async with (
        database_factory.create() as database,
        open_wallet_world(
            database,
            tmp_path_factory.mktemp("payouts"),
            PAYER_ACCOUNTS="3",
            OPERATOR_PAYOUT_ADDRESS=OPERATOR.public_key,
            **SETTINGS,
        ) as running,
    ):
        yield running


@pytest.fixture
async def pool(payout_world: WalletWorld) -> AsyncIterator[PayoutWorld]:
    """A pooler with a custodial account, and no farmer yet."""
    async with SorobanServerAsync(payout_world.rpc_url) as rpc:
        opened = PayoutWorld(world=payout_world, outside=Outside(payout_world, rpc))
        await opened.open_pooler()
        yield opened


def paid(result: payout_pb2.FarmerPayoutResult) -> payout_pb2.Payout:
    """Return a payout that was made."""
    assert result.payout.operation.state == SUCCEEDED, result
    return result.payout


async def test_everybody_gets_what_was_agreed_to_the_stroop(pool: PayoutWorld) -> None:
    one, two = await pool.add_farmers(2)
    await pool.farm([one, two], name="first")
    agreed = {farmer: pool.agreed(farmer) for farmer in (one, two)}
    state = await pool.fees(one)
    parts = Parts(
        pooler=agreed[one].pooler, operator=agreed[one].operator, miners=agreed[one].miners
    )
    assert (state.accrued, state.paid) == (parts, Parts())

    # The operator's account is not there yet: its part is left for later, and holds up nobody.
    done = await pool.pay("run 1", {farmer: agreed[farmer].farmer for farmer in (one, two)})
    first = paid(done[one])
    assert first.fees == Parts(pooler=agreed[one].pooler, miners=agreed[one].miners)
    assert (first.destination, first.pooler_account) == (pool.addresses[one], pool.account)
    assert (first.operator_account, first.amount) == ("", agreed[one].farmer)
    for farmer in (one, two):
        assert await pool.outside.kale(pool.addresses[farmer]) == agreed[farmer].farmer
    came = sum(item.pooler + item.miners for item in agreed.values())
    assert await pool.outside.kale(pool.account) == came

    # The same request is the same payouts; another amount is another request.
    again = await pool.pay("run 1", {farmer: agreed[farmer].farmer for farmer in (one, two)})
    assert paid(again[one]).payout_id == first.payout_id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pool.pay("run 1", {one: 1})
    assert "request_id" in (refused.value.details() or "")

    # What is left is the operator's; then nothing is.
    await pool.outside.account(key=OPERATOR)
    swept = await pool.pay("run 2", {one: 0, two: 0})
    assert paid(swept[one]).fees == Parts(operator=agreed[one].operator)
    assert await pool.outside.kale(OPERATOR.public_key) == sum(
        item.operator for item in agreed.values()
    )
    empty = await pool.pay("run 3", {one: 0})
    assert empty[one].refusal.reason == "NOTHING_DUE"
    assert (await pool.fees(one)).paid == parts
    balances = await pool.world.balances([one, two])
    assert {item.kale_stroops for item in balances.values()} == {0}

    received = Parts(
        pooler=sum(item.pooler for item in agreed.values()),
        miners=sum(item.miners for item in agreed.values()),
    )
    await spend(pool, received)
    await sound(pool)


async def spend(pool: PayoutWorld, received: payout_pb2.FeeParts) -> None:
    """See that miners and the pooler get what came, and no more."""
    fees, pooler, miners = await pool.pooler_fees(), received.pooler, received.miners
    assert fees.received == received
    near, far = await pool.outside.account(), await pool.outside.account()
    paying = await pool.pay_miners("miners", {near: miners - 1, far: 2})
    assert paying[near].payment.operation.state == SUCCEEDED
    assert paying[far].refusal.reason == "MORE_THAN_DUE"
    repaid = await pool.pay_miners("miners", {near: miners - 1, far: 1})
    assert repaid[near].payment.payment_id == paying[near].payment.payment_id
    assert repaid[far].payment.operation.state == SUCCEEDED
    assert (await pool.pay_pooler("pooler", pooler + 1)).refusal.reason == "MORE_THAN_DUE"
    assert (await pool.pay_pooler("pooler", pooler)).payment.operation.state == SUCCEEDED
    assert await pool.outside.kale(pool.pooler_address) == pooler
    assert await pool.outside.kale(pool.account) == 0
    assert (await pool.pooler_fees()).paid == fees.received


async def sound(pool: PayoutWorld) -> None:
    """See that the log tells of all rows, that they tell of it, and that wallet wrote them."""
    async with open_channel(pool.world.target) as channel:
        custody = custody_pb2_grpc.CustodyServiceStub(channel)
        verified = await custody.VerifyAuditLog(custody_pb2.VerifyAuditLogRequest())
        assert verified.is_sound, verified
        assert not verified.findings, verified
        orders = order_pb2_grpc.OrderServiceStub(channel)
        checked = await orders.CheckOrders(order_pb2.CheckOrdersRequest())
        assert checked.has_keys, checked
        assert not checked.forged, checked


async def test_no_stroop_more_than_agreed_leaves_in_twenty_runs_at_once(pool: PayoutWorld) -> None:
    await pool.outside.account(key=OPERATOR) if await missing(pool) else None
    (farmer,) = await pool.add_farmers(1)
    await pool.farm([farmer], name="greedy")
    agreed = pool.agreed(farmer)
    runs = [pool.pay(f"greedy {number}", {farmer: 0}) for number in range(20)]
    results = [found[farmer] for found in await asyncio.gather(*runs)]
    made = [paid(item) for item in results if not item.refusal.reason]
    assert {item.refusal.reason for item in results} == {"", "NOTHING_DUE"}
    assert sum(item.fees.pooler for item in made) == agreed.pooler
    assert sum(item.fees.miners for item in made) == agreed.miners
    assert sum(item.fees.operator for item in made) == agreed.operator
    left = (await pool.world.balances([farmer]))[farmer].kale_stroops
    assert left == agreed.farmer


async def missing(pool: PayoutWorld) -> bool:
    """Tell whether the operator's account is not on the chain yet."""
    try:
        await pool.outside.kale(OPERATOR.public_key)
    except IndexError:
        return True
    return False


async def test_who_cannot_be_paid_is_told_why_and_holds_up_nobody(pool: PayoutWorld) -> None:
    sound, poor, closed, free = await pool.add_farmers(4, terms=None)
    await pool.world.pay_kale([pool.farmers[item] for item in (sound, closed, free)], 10 * KALE)
    stranger = str(new_id())
    nowhere = wallet_pb2.CreateWalletRequest(
        farmer_id=str(new_id()),
        pooler_id=pool.pooler_id,
        payout_address=Keypair.random().public_key,
    )
    gone = (await pool.world.stub.CreateWallet(nowhere)).wallet
    homeless = wallet_pb2.CreateWalletRequest(farmer_id=str(new_id()), pooler_id=pool.pooler_id)
    lost = (await pool.world.stub.CreateWallet(homeless)).wallet
    await pool.world.wait_until_ready([gone.farmer_id, lost.farmer_id], pooler_id=pool.pooler_id)
    await pool.world.pay_kale([gone.address, lost.address], 10 * KALE)
    done = await pool.pay(
        "mixed",
        {
            sound: 4 * KALE,
            poor: KALE,
            closed: 0,
            free: 10 * KALE,
            stranger: KALE,
            gone.farmer_id: KALE,
            lost.farmer_id: KALE,
        },
    )
    assert {farmer: item.refusal.reason for farmer, item in done.items()} == {
        sound: "",
        # Nothing was agreed: nothing is taken.
        free: "",
        closed: "NOTHING_DUE",
        poor: "INSUFFICIENT_BALANCE",
        stranger: "WALLET_NOT_FOUND",
        gone.farmer_id: "DESTINATION_MISSING",
        lost.farmer_id: "PAYOUT_ADDRESS_MISSING",
    }
    assert paid(done[sound]).fees == paid(done[free]).fees == Parts()
    assert await pool.outside.kale(pool.addresses[free]) == 10 * KALE


async def test_movements_tell_of_payouts_and_of_what_poolers_paid(pool: PayoutWorld) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    (farmer,) = await pool.add_farmers(1)
    await pool.farm([farmer], name="told")
    agreed = pool.agreed(farmer)
    payout = paid((await pool.pay("told", {farmer: 5}))[farmer])
    payment = (await pool.pay_pooler("told", agreed.pooler)).payment
    request = wallet_pb2.ListMovementsRequest(after_micros=micros_of(before), page_size=1000)
    found = (await pool.world.stub.ListMovements(request)).movements
    told = [item for item in found if item.operation.operation_id == payout.payout_id]
    assert [item.is_request for item in told] == [True, False]
    for item in told:
        assert item.payout == wallet_pb2.PayoutMovement(
            amount=5,
            pooler=agreed.pooler,
            operator=payout.fees.operator,
            miners=agreed.miners,
            destination=pool.addresses[farmer],
            pooler_account=pool.account,
        )
        assert (item.operation.farmer_id, item.withdrawn_kale) == (farmer, 0)
    told = [item for item in found if item.operation.operation_id == payment.payment_id]
    assert [item.is_request for item in told] == [True, False]
    for item in told:
        assert item.operation.pooler_id == pool.pooler_id
        assert item.pool_payment == wallet_pb2.PoolPaymentMovement(
            amount=agreed.pooler, destination=pool.pooler_address, is_miner=False
        )


async def test_a_fee_that_cannot_arrive_any_more_fails_the_payout_alone(pool: PayoutWorld) -> None:
    """It was recorded while the account could take it; asked for again, it goes without."""
    if await missing(pool):
        await pool.outside.account(key=OPERATOR)
    (farmer,) = await pool.add_farmers(1)
    await pool.farm([farmer], name="mended")
    before = await pool.outside.kale(OPERATOR.public_key)
    async with pool.world.paused():
        waiting = asyncio.ensure_future(pool.pay("closing", {farmer: 7}))
        async with connect(pool.world.database.admin_dsn) as admin:

            async def recorded() -> bool:
                count = "SELECT count(*) FROM wallet.payouts WHERE request_id = 'closing'"
                return bool(await admin.fetchval(count))

            await eventually(recorded, "the payout is not recorded", pool.world.wallet)
        await pool.outside.limit(OPERATOR, before)
    failed = (await waiting)[farmer].payout.operation
    assert failed.reason == common_pb2.FAILURE_REASON_FEE_REFUSED
    done = paid((await pool.pay("closing again", {farmer: 7}))[farmer])
    agreed = pool.agreed(farmer)
    assert done.fees == Parts(pooler=agreed.pooler, miners=agreed.miners)
    assert await pool.outside.kale(OPERATOR.public_key) == before
    await pool.outside.limit(OPERATOR, None)


@pytest.mark.parametrize("name", ["wallet.payouts.recorded"])
async def test_a_kill_after_recording_pays_once(pool: PayoutWorld, name: str) -> None:
    (farmer,) = await pool.add_farmers(1)
    await pool.farm([farmer], name="killed")
    await pool.world.restart(FAILPOINTS=f"{name}=kill")
    await pool.world.wait_until_serving()
    with pytest.raises(grpc.aio.AioRpcError):
        await pool.pay("killed", {farmer: 3})
    await pool.world.revive()
    await pool.world.wait_until_serving()
    done = paid((await pool.pay("killed", {farmer: 3}))[farmer])
    assert done.amount == await pool.outside.kale(pool.addresses[farmer]) == 3
    async with asyncio.timeout(PATIENCE):
        assert (await pool.fees(farmer)).in_flight == Parts()
