"""A fee budget that runs out: plants stop, and what was planted is still harvested."""

from pathlib import Path

from kalepool.common.v1 import common_pb2
from kalepool.report.v1 import fees_pb2, fees_pb2_grpc, report_pb2
from kalepool.wallet.v1 import wallet_pb2

from libs.common.grpc.client import open_channel
from tests.support.database import DatabaseFactory, connect
from tests.support.wallet_world import open_wallet_world

KALE = 10**7
DAILY = 400_000
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
SPENT = "SELECT coalesce(sum(fee_charged), 0)::bigint FROM wallet.transactions"
BOOKED = "SELECT coalesce(sum(stroops), 0)::bigint FROM wallet.fee_hours"


async def test_plants_stop_before_the_money_for_harvests_is_touched(
    database_factory: DatabaseFactory, tmp_path: Path
) -> None:
    async with (
        database_factory.create() as database,
        open_wallet_world(
            database,
            tmp_path,
            block_seconds=8,
            FEE_DAILY_STROOPS=str(DAILY),
            FEE_RESERVE_STROOPS="50000",
        ) as world,
        connect(database.admin_dsn) as admin,
    ):
        farmers = await world.create_farmers(6)
        await world.wait_until_ready(list(farmers))
        await world.pay_kale(list(farmers.values()), 10 * KALE)
        block = await world.next_block()
        plants = await world.plant("plant", block, dict.fromkeys(farmers, KALE))
        planted = [item.farmer_id for item in plants if item.state == SUCCEEDED]
        refused = [item for item in plants if item.state != SUCCEEDED]
        assert {item.reason for item in refused} == {common_pb2.FAILURE_REASON_FEE_BUDGET}
        assert 0 < len(planted) < len(farmers)

        works = await world.work("work", block, dict.fromkeys(planted, 11), farmers)
        assert {item.state for item in works} == {SUCCEEDED}
        following = await world.next_block()
        (opening,) = await world.plant("next", following, {planted[0]: 0})
        assert opening.state == SUCCEEDED  # works are done, so less is kept back
        harvests = await world.harvest("harvest", block, planted)
        assert {item.state for item in harvests} == {SUCCEEDED}
        spent = await admin.fetchval(SPENT)
        assert spent == await admin.fetchval(BOOKED)
        assert spent <= DAILY
        async with open_channel(world.target) as channel:
            stub: fees_pb2_grpc.FeeServiceAsyncStub = fees_pb2_grpc.FeeServiceStub(channel)
            told = await stub.ListFees(fees_pb2.ListFeesRequest(span=report_pb2.SPAN_MONTH))
        assert sum(month.stroops for month in told.fees) == spent
        kinds = {fee.kind for month in told.fees for fee in month.kinds}
        assert {fees_pb2.FEE_KIND_PLANT, fees_pb2.FEE_KIND_WORK, fees_pb2.FEE_KIND_HARVEST} <= kinds
