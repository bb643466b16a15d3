"""plant over real gRPC and PostgreSQL, with a wallet that settles at once."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import grpc
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc
from pydantic import SecretStr

from libs.common import errors, failpoints
from libs.common.grpc.client import call, open_channel
from libs.common.ids import new_id
from services.plant.app import open_app
from services.plant.config import PlantSettings
from tests.support.database import DatabaseAccess, connect
from tests.support.fake_wallet import FEE, LEDGER, FakeWallet, fake_wallet
from tests.support.pool_world import PoolWorld, eventually

BLOCK = 41


@dataclass(frozen=True, kw_only=True)
class Plant:
    """A running plant service and what is around it."""

    stub: "plant_pb2_grpc.PlantServiceAsyncStub"
    world: PoolWorld
    wallet: FakeWallet
    pooler: UUID
    database: DatabaseAccess

    async def plant(
        self,
        *,
        request_id: str = "",
        block: int = BLOCK,
        capacity: int = 0,
        stakes: Mapping[UUID, int] | None = None,
        sitting_out: Sequence[UUID] = (),
    ) -> plant_pb2.PlantResponse:
        """Calls Plant."""
        request = plant_pb2.PlantRequest(
            block_index=block,
            pooler_id=str(self.pooler),
            max_farmers_capacity=capacity,
            request_id=request_id,
            stakes=[
                plant_pb2.FarmerStake(farmer_id=str(farmer), stake=stake)
                for farmer, stake in (stakes or {}).items()
            ],
            sitting_out=map(str, sitting_out),
        )
        return await call(self.stub.Plant, request, timeout=20)


@pytest.fixture
async def plant(database: DatabaseAccess) -> AsyncIterator[Plant]:
    """plant in block 41 with one active pooler."""
    async with (
        connect(database.admin_dsn) as connection,
        fake_wallet(database.admin_dsn) as (wallet, target),
    ):
        world = PoolWorld(connection)
        settings = PlantSettings(
            transport="plaintext",
            port=0,
            database_url=SecretStr(database.dsn("plant")),
            wallet_target=target,
            max_batch_size=2,
            api_rate_limit=0,
            shutdown_grace_ms=100,
            recovery_seconds=0.3,
        )
        async with (
            open_app(settings) as running,
            open_channel(f"127.0.0.1:{running.port}") as channel,
        ):
            await world.head(current=BLOCK)
            yield Plant(
                stub=plant_pb2_grpc.PlantServiceStub(channel),
                world=world,
                wallet=wallet,
                pooler=await world.pooler(),
                database=database,
            )


async def test_every_eligible_farmer_is_planted_with_its_part(plant: Plant) -> None:
    rich = await plant.world.farmer(plant.pooler, balance=1_003, stake="0.5")
    poor = await plant.world.farmer(plant.pooler, balance=0)
    idle = await plant.world.farmer(plant.pooler, balance=77, stake="0")
    await plant.world.farmer(plant.pooler, status="suspended")
    await plant.world.farmer(plant.pooler, status="leaving")
    await plant.world.farmer(plant.pooler, funded=False)
    await plant.world.farmer(plant.pooler, trustline=False)
    await plant.world.farmer(await plant.world.pooler())
    answer = await plant.plant()
    assert (answer.total_requested, answer.successful_plants, answer.failed_plants) == (3, 3, 0)
    assert answer.total_staked == 501
    stakes = {UUID(one.farmer_id): one.stake_amount for one in answer.plantings}
    assert stakes == {rich.farmer_id: 501, poor.farmer_id: 0, idle.farmer_id: 0}
    first = answer.plantings[0]
    assert (first.ledger, first.fee_charged, first.status) == (
        LEDGER,
        FEE,
        plant_pb2.PLANTING_STATUS_SUCCESS,
    )
    # Three farmers, two a call.
    assert len(plant.wallet.calls) == 2


async def test_whose_signing_is_paused_is_left_out(plant: Plant) -> None:
    """It would keep the whole batch open until somebody resumes it."""
    held = await plant.world.farmer(plant.pooler)
    other = await plant.world.farmer(plant.pooler)
    async with connect(plant.database.admin_dsn) as admin:
        await admin.execute(
            "INSERT INTO wallet.pauses (id, scope, target, reason, paused_by) "
            "SELECT $1, 'wallet', id, 'a test', 'ann' FROM wallet.wallets WHERE farmer_id = $2",
            new_id(),
            held.farmer_id,
        )
    answer = await plant.plant()
    assert [UUID(one.farmer_id) for one in answer.plantings] == [other.farmer_id]


async def test_a_refusal_that_stands_is_one_event_however_often_it_is_asked(plant: Plant) -> None:
    refused = [await plant.world.farmer(plant.pooler) for _ in range(3)]
    plant.wallet.faults.failing = {one.farmer_id: "FEE_CAP" for one in refused}
    plant.wallet.faults.lasting = True
    for number in range(20):
        answer = await plant.plant(request_id=f"try {number}")
        assert (answer.successful_plants, answer.failed_plants) == (0, 3)
        assert {one.reason for one in answer.plantings} == {common_pb2.FAILURE_REASON_FEE_CAP}
    assert await plant.world.count("plant.plantings") == 3
    assert await plant.world.count("wallet.operations") == 3


async def test_one_failure_does_not_fail_the_others(plant: Plant) -> None:
    good = await plant.world.farmer(plant.pooler)
    bad = await plant.world.farmer(plant.pooler)
    plant.wallet.faults.failing[bad.farmer_id] = "INSUFFICIENT_BALANCE"
    answer = await plant.plant()
    assert (answer.successful_plants, answer.failed_plants) == (1, 1)
    by_farmer = {UUID(one.farmer_id): one for one in answer.plantings}
    assert by_farmer[good.farmer_id].status == plant_pb2.PLANTING_STATUS_SUCCESS
    assert by_farmer[bad.farmer_id].status == plant_pb2.PLANTING_STATUS_FAILED
    assert by_farmer[bad.farmer_id].reason == 5  # INSUFFICIENT_BALANCE
    # A fresh request tries it again, and only it.
    plant.wallet.faults.failing.clear()
    again = await plant.plant(request_id="again")
    assert [UUID(one.farmer_id) for one in again.plantings] == [bad.farmer_id]
    assert again.successful_plants == 1


async def test_the_same_call_acts_once_and_tells_the_same(plant: Plant) -> None:
    for _ in range(5):
        await plant.world.farmer(plant.pooler)
    answers = await asyncio.gather(*(plant.plant() for _ in range(4)))
    await plant.world.farmer(plant.pooler)
    answers.append(await plant.plant())
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].successful_plants == 5
    assert await plant.world.count("plant.plantings") == 5
    assert await plant.world.count("wallet.operations") == 5
    late = await plant.plant(request_id="late")
    assert late.successful_plants == 1


async def test_a_request_id_stands_for_its_arguments(plant: Plant) -> None:
    await plant.world.farmer(plant.pooler)
    await plant.plant(request_id="mine")
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await plant.plant(request_id="mine", capacity=7)
    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_capacity_takes_the_first_registered(plant: Plant) -> None:
    farmers = [await plant.world.farmer(plant.pooler) for _ in range(3)]
    answer = await plant.plant(capacity=2)
    planted = {UUID(one.farmer_id) for one in answer.plantings}
    assert planted == {one.farmer_id for one in farmers[:2]}


async def test_a_pooler_may_stake_less_than_was_agreed_and_never_more(plant: Plant) -> None:
    """Agreed is half of 1,000 with all three."""
    less, more, silent = [
        await plant.world.farmer(plant.pooler, balance=1_000, stake="0.5") for _ in range(3)
    ]
    answer = await plant.plant(stakes={less.farmer_id: 7, more.farmer_id: 501, new_id(): 1})
    stakes = {UUID(one.farmer_id): one.stake_amount for one in answer.plantings}
    assert stakes == {less.farmer_id: 7, more.farmer_id: 500, silent.farmer_id: 500}


async def test_who_sits_out_is_not_planted_and_can_be_later(plant: Plant) -> None:
    idle, busy = [await plant.world.farmer(plant.pooler) for _ in range(2)]
    first = await plant.plant(sitting_out=[idle.farmer_id])
    assert [UUID(one.farmer_id) for one in first.plantings] == [busy.farmer_id]
    second = await plant.plant(request_id="after all")
    assert [UUID(one.farmer_id) for one in second.plantings] == [idle.farmer_id]


async def test_the_same_choices_in_another_order_are_the_same_request(plant: Plant) -> None:
    one, two = [(await plant.world.farmer(plant.pooler)).farmer_id for _ in range(2)]
    choices = {one: 5, two: 6}
    first = await plant.plant(request_id="mine", stakes=choices, sitting_out=[one, two])
    again = await plant.plant(
        request_id="mine", stakes=dict(reversed(choices.items())), sitting_out=[two, one]
    )
    assert first == again
    for other in ({}, {one: 5}, {one: 6, two: 6}):
        with pytest.raises(errors.FailedPreconditionError) as caught:
            await plant.plant(request_id="mine", stakes=other, sitting_out=[one, two])
        assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_wrong_choices_are_named(plant: Plant) -> None:
    farmer = str(new_id())
    request = plant_pb2.PlantRequest(
        block_index=BLOCK,
        pooler_id=str(plant.pooler),
        stakes=[
            plant_pb2.FarmerStake(farmer_id=farmer, stake=-1),
            plant_pb2.FarmerStake(farmer_id=farmer),
        ],
        sitting_out=[farmer, "nobody", farmer],
    )
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await call(plant.stub.Plant, request, timeout=5)
    assert {one.field for one in caught.value.violations} == {
        "stakes[0].stake",
        "stakes[1].stake",
        "stakes[1].farmer_id",
        "sitting_out[1]",
        "sitting_out[2]",
    }


@pytest.mark.parametrize("fault", ["break", "away"])
async def test_wallet_comes_back(plant: Plant, fault: str) -> None:
    for _ in range(4):
        await plant.world.farmer(plant.pooler)
    if fault == "break":
        plant.wallet.faults.break_after = 1
    else:
        plant.wallet.faults.unavailable = 3
    answer = await plant.plant()
    assert answer.successful_plants == 4
    assert await plant.world.count("wallet.operations") == 4


async def test_what_wallet_refuses_is_recorded(plant: Plant) -> None:
    await plant.world.farmer(plant.pooler)
    plant.wallet.faults.refuse = "WRONG_BLOCK"
    answer = await plant.plant()
    assert (answer.total_requested, answer.failed_plants) == (1, 1)
    assert answer.plantings[0].reason == 11  # BLOCK_CLOSED


@pytest.mark.parametrize("point", ["accepted", "planned", "settled", "recorded"])
async def test_a_cut_off_batch_is_completed(plant: Plant, point: str) -> None:
    await plant.world.farmer(plant.pooler)
    failpoints.arm(f"plant.batch.{point}@1=raise")
    try:
        with pytest.raises(errors.InternalError):
            await plant.plant()
        for _ in range(50):
            if await plant.world.count("plant.batches", "completed_at IS NOT NULL"):
                break
            await asyncio.sleep(0.1)
    finally:
        failpoints.arm("")
    answer = await plant.plant()
    assert answer.successful_plants == 1
    assert await plant.world.count("wallet.operations") == 1
    assert await plant.world.count("plant.plantings") == 1


async def test_the_wrong_block_is_told_with_the_right_one(plant: Plant) -> None:
    for block in (BLOCK - 1, BLOCK + 1):
        with pytest.raises(errors.FailedPreconditionError) as caught:
            await plant.plant(block=block)
        assert caught.value.reason == "WRONG_BLOCK"
        assert caught.value.metadata == {
            "current_block": str(BLOCK),
            "plantable_block": str(BLOCK),
        }
    await plant.world.head(current=BLOCK, plantable=BLOCK + 1)
    assert (await plant.plant(block=BLOCK + 1)).total_requested == 0


async def test_unknown_and_suspended_poolers(plant: Plant) -> None:
    request = plant_pb2.PlantRequest(block_index=BLOCK, pooler_id=str(new_id()))
    with pytest.raises(errors.NotFoundError):
        await call(plant.stub.Plant, request, timeout=5)
    request.pooler_id = str(await plant.world.pooler(active=False))
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await call(plant.stub.Plant, request, timeout=5)
    assert caught.value.reason == "POOLER_SUSPENDED"


async def test_all_bad_fields_are_named_at_once(plant: Plant) -> None:
    request = plant_pb2.PlantRequest(
        block_index=2**32 - 1,
        pooler_id="x",
        max_farmers_capacity=-1,
        request_id="y" * 129,
    )
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await call(plant.stub.Plant, request, timeout=5)
    assert [one.field for one in caught.value.violations] == [
        "block_index",
        "pooler_id",
        "max_farmers_capacity",
        "request_id",
    ]
    with pytest.raises(errors.InvalidArgumentError, match="block_index is required"):
        forgotten = plant_pb2.PlantRequest(pooler_id=str(plant.pooler))
        await call(plant.stub.Plant, forgotten, timeout=5)
    listing = plant_pb2.ListPlantingsRequest(pooler_id="x", farmer_id="y", page_size=1001)
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await call(plant.stub.ListPlantings, listing, timeout=5)
    fields = [one.field for one in caught.value.violations]
    assert fields == ["pooler_id", "farmer_id", "page_size"]


async def test_pages_of_plantings_hold_each_once(plant: Plant) -> None:
    for _ in range(3):
        await plant.world.farmer(plant.pooler)
    await plant.plant()
    await plant.world.head(current=BLOCK + 1)
    await plant.plant(block=BLOCK + 1)
    seen: list[tuple[int, str]] = []
    token = ""
    while True:
        request = plant_pb2.ListPlantingsRequest(
            pooler_id=str(plant.pooler), page_size=2, page_token=token
        )
        page = await call(plant.stub.ListPlantings, request, timeout=5)
        seen += [(one.block_index, one.farmer_id) for one in page.plantings]
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == 6
    assert [block for block, _ in seen] == [BLOCK + 1] * 3 + [BLOCK] * 3


async def test_plantings_are_append_only(plant: Plant) -> None:
    await plant.world.farmer(plant.pooler)
    await plant.plant()
    statements = (
        "UPDATE plant.plantings SET stake_amount = 1",
        "DELETE FROM plant.plantings",
        "TRUNCATE plant.plantings",
    )
    async with connect(plant.database.dsn("plant")) as own:
        for statement in (*statements, "SELECT 1 FROM wallet.sealed_keys"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await own.execute(statement)
    for statement in statements:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await plant.world.connection.execute(statement)


async def test_partitions_are_made_as_blocks_come(plant: Plant) -> None:
    await plant.world.farmer(plant.pooler)
    for block in (9_999, 10_000):
        await plant.world.head(current=block)
        assert (await plant.plant(block=block)).successful_plants == 1
    names = await plant.world.connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
        "WHERE inhparent = 'plant.plantings'::regclass ORDER BY 1"
    )
    assert [row["name"] for row in names] == ["plant.plantings_0", "plant.plantings_10000"]


async def test_a_caller_that_leaves_does_not_stop_the_batch(plant: Plant) -> None:
    await plant.world.farmer(plant.pooler)
    plant.wallet.faults.unavailable = 2
    request = plant_pb2.PlantRequest(block_index=BLOCK, pooler_id=str(plant.pooler))
    running = plant.stub.Plant(request, timeout=60)
    await eventually(lambda: plant.world.count("plant.batches"), patience=30)
    running.cancel()
    with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
        await running
    await eventually(lambda: plant.world.count("plant.plantings"), patience=30)
    assert await plant.world.count("plant.plantings", "status = 'success'") == 1


async def test_a_batch_that_hangs_keeps_no_other_pooler_waiting(plant: Plant) -> None:
    # Two a call and ten calls at a time: with two more it would fill all of them.
    for _ in range(22):
        stuck = await plant.world.farmer(plant.pooler)
        plant.wallet.faults.hanging.add(stuck.farmer_id)
    hanging = asyncio.create_task(plant.plant())
    for _ in range(100):
        if len(plant.wallet.calls) >= 10:
            break
        await asyncio.sleep(0.05)
    other = await plant.world.pooler()
    await plant.world.farmer(other)
    request = plant_pb2.PlantRequest(block_index=BLOCK, pooler_id=str(other))
    answer = await call(plant.stub.Plant, request, timeout=5)
    assert answer.successful_plants == 1
    plant.wallet.faults.go_on.set()
    assert (await hanging).successful_plants == 22


async def test_a_reason_that_a_newer_wallet_gives_fails_nobody_else(plant: Plant) -> None:
    farmer = await plant.world.farmer(plant.pooler)
    await plant.world.farmer(plant.pooler)
    plant.wallet.faults.failing[farmer.farmer_id] = "OF_TOMORROW"
    answer = await plant.plant()
    assert (answer.successful_plants, answer.failed_plants) == (1, 1)
    assert {one.reason for one in answer.plantings} == {0, 20}  # INTERNAL


async def test_lists_of_nobody(plant: Plant) -> None:
    unknown, others = str(new_id()), await plant.world.farmer(await plant.world.pooler())
    for request in (
        plant_pb2.ListPlantingsRequest(pooler_id=unknown),
        plant_pb2.ListPlantingsRequest(pooler_id=str(plant.pooler), farmer_id=unknown),
        plant_pb2.ListPlantingsRequest(
            pooler_id=str(plant.pooler), farmer_id=str(others.farmer_id)
        ),
    ):
        with pytest.raises(errors.NotFoundError):
            await call(plant.stub.ListPlantings, request, timeout=5)
