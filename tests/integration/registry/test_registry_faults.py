"""What happens when something that registry needs is away, or registry itself dies."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from stellar_sdk import Keypair

from libs.common import failpoints
from libs.common.errors import InternalError, PoolError, UnavailableError
from libs.common.grpc.health import is_serving
from tests.support.database import DatabaseAccess
from tests.support.fake_custody import FakeCustody, open_fake_custody
from tests.support.registry_process import Start, has_died, open_registry_process, patiently
from tests.support.registry_world import (
    RegistryWorld,
    eventually,
    named,
    open_registry,
    open_registry_world,
    refusal,
)

pytestmark = pytest.mark.faults

ACTIVE, PROVISIONING = (
    registry_pb2.FARMER_STATUS_ACTIVE,
    registry_pb2.FARMER_STATUS_PROVISIONING,
)
EDGES = ("registry.farmer.enrolled", "registry.farmer.wallet_made", "registry.farmer.active")


@pytest.fixture
async def patient(database: DatabaseAccess) -> AsyncIterator[RegistryWorld]:
    """A registry whose recovery never comes: what succeeds, the repeated call has done."""
    async with open_registry_world(database, recovery_seconds=3600) as running:
        yield running


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """No failpoint stays armed."""
    yield
    failpoints.arm("")


async def only_farmer(world: RegistryWorld, pooler_id: str) -> registry_pb2.Farmer:
    """The one farmer that the pooler has, which takes one place."""
    request = registry_pb2.ListFarmersRequest(pooler_id=pooler_id)
    (farmer,) = (await world.stub.ListFarmers(request)).farmers
    assert (await world.read_pooler(pooler_id)).current_farmers == 1
    return farmer


async def test_wallet_is_away_and_comes_back(patient: RegistryWorld) -> None:
    pooler_id = (await patient.pooler(max_farmers=1)).pooler_id
    request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id, request_id="one")
    await patient.wallet.stop()
    for _ in range(2):
        assert isinstance(await refusal(patient.stub.RegisterFarmer(request)), UnavailableError)
    waiting = await only_farmer(patient, pooler_id)
    assert (waiting.status, waiting.custodial_wallet) == (PROVISIONING, "")
    # Reads and changes that need no wallet go on.
    assert await patient.read_pooler(pooler_id)
    await patient.wallet.start()
    await eventually(lambda: registered(patient, request), "the same call does not succeed")
    farmer = await only_farmer(patient, pooler_id)
    assert (farmer.farmer_id, farmer.status) == (waiting.farmer_id, ACTIVE)


async def registered(world: RegistryWorld, request: registry_pb2.RegisterFarmerRequest) -> bool:
    """Whether the call succeeds; UNAVAILABLE while the channel connects again."""
    try:
        return (await world.stub.RegisterFarmer(request)).status == ACTIVE
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        return False


async def test_a_farmer_that_waits_for_its_wallet_is_not_suspended(patient: RegistryWorld) -> None:
    pooler_id = (await patient.pooler()).pooler_id
    await patient.wallet.stop()
    await refusal(
        patient.stub.RegisterFarmer(registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id))
    )
    farmer_id = (await only_farmer(patient, pooler_id)).farmer_id
    error = await refusal(
        patient.stub.SuspendFarmer(registry_pb2.SuspendFarmerRequest(farmer_id=farmer_id))
    )
    assert (error.reason, error.metadata) == ("FARMER_STATUS", {"status": "provisioning"})


async def test_a_lost_answer_makes_no_second_wallet(patient: RegistryWorld) -> None:
    pooler_id = (await patient.pooler()).pooler_id
    request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id, request_id="one")
    patient.wallet.answers_to_lose = 1
    assert isinstance(await refusal(patient.stub.RegisterFarmer(request)), UnavailableError)
    reply = await patient.stub.RegisterFarmer(request)
    assert patient.wallet.calls == {reply.farmer_id: 2}
    assert await patient.value("SELECT address FROM wallet.wallets") == reply.custodial_wallet


async def test_recovery_completes_what_nobody_asks_for_again(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    await world.wallet.stop()
    await refusal(
        world.stub.RegisterFarmer(registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id))
    )
    await asyncio.sleep(0.5)  # rounds that fail must not end the loop
    assert (await only_farmer(world, pooler_id)).status == PROVISIONING
    await world.wallet.start()

    async def active() -> bool:
        return (await only_farmer(world, pooler_id)).status == ACTIVE

    await eventually(active, "the farmer gets no wallet")


async def test_one_refused_wallet_does_not_keep_the_others_waiting(
    patient: RegistryWorld,
) -> None:
    pooler_id = (await patient.pooler()).pooler_id
    request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id)
    await patient.wallet.stop()
    for _ in range(3):
        await refusal(patient.stub.RegisterFarmer(request))
    listing = registry_pb2.ListFarmersRequest(pooler_id=pooler_id)
    first = (await patient.stub.ListFarmers(listing)).farmers[0].farmer_id
    await patient.wallet.start()
    patient.wallet.refusals[first] = InternalError("a defect of wallet")
    async with open_registry(patient.database, patient.wallet) as replica:

        async def others_active() -> bool:
            farmers = (await replica.stub.ListFarmers(listing)).farmers
            return [farmer.status for farmer in farmers] == [PROVISIONING, ACTIVE, ACTIVE]

        await eventually(others_active, "the others wait")
        patient.wallet.refusals.clear()

        async def all_active() -> bool:
            farmers = (await replica.stub.ListFarmers(listing)).farmers
            return all(farmer.status == ACTIVE for farmer in farmers)

        await eventually(all_active, "the first waits for ever")


async def test_more_refused_wallets_than_a_page_do_not_keep_the_others_waiting(
    patient: RegistryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.registry.loops.PAGE", 2)
    pooler_id = (await patient.pooler()).pooler_id
    request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id)
    await patient.wallet.stop()
    for _ in range(5):
        await refusal(patient.stub.RegisterFarmer(request))
    listing = registry_pb2.ListFarmersRequest(pooler_id=pooler_id)
    farmers = (await patient.stub.ListFarmers(listing)).farmers
    await patient.wallet.start()
    for farmer in farmers[:4]:
        patient.wallet.refusals[farmer.farmer_id] = InternalError("a defect of wallet")
    async with open_registry(patient.database, patient.wallet) as replica:

        async def last_active() -> bool:
            found = (await replica.stub.ListFarmers(listing)).farmers
            return [farmer.status for farmer in found] == [PROVISIONING] * 4 + [ACTIVE]

        await eventually(last_active, "the last waits behind refused ones")


async def test_a_late_registration_does_not_undo_what_came_after_it(
    patient: RegistryWorld,
) -> None:
    pooler_id = (await patient.pooler()).pooler_id
    request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id, request_id="one")
    failpoints.arm("registry.farmer.wallet_made@1=sleep:1")
    late = asyncio.ensure_future(patient.stub.RegisterFarmer(request))

    async def made() -> bool:
        return bool(patient.wallet.calls)

    await eventually(made, "wallet is not asked")
    farmer_id = (await patient.stub.RegisterFarmer(request)).farmer_id
    await patient.stub.SuspendFarmer(registry_pb2.SuspendFarmerRequest(farmer_id=farmer_id))
    assert (await late).farmer_id == farmer_id
    assert (await patient.read_farmer(farmer_id)).status == registry_pb2.FARMER_STATUS_SUSPENDED


async def test_a_caller_that_goes_away_gets_its_farmer_later(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    failpoints.arm("registry.farmer.enrolled@1=sleep:30")
    request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id, request_id="one")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.stub.RegisterFarmer(request, timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    async def active() -> bool:
        return (await only_farmer(world, pooler_id)).status == ACTIVE

    await eventually(active, "the farmer gets no wallet")
    reply = await world.stub.RegisterFarmer(request)
    assert reply.farmer_id == (await only_farmer(world, pooler_id)).farmer_id


async def test_postgres_is_away_and_comes_back(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    farmer_id = (await world.farmer(pooler_id, request_id="one")).farmer_id
    calls: dict[str, dict[str, Any]] = {
        "RegisterPooler": named({"request_id": "two"}),
        "GetPooler": {"pooler_id": pooler_id},
        "ListPoolers": {},
        "UpdatePooler": {"pooler_id": pooler_id, "is_open_to_join": True, "request_id": "three"},
        "SuspendPooler": {"pooler_id": pooler_id},
        "ResumePooler": {"pooler_id": pooler_id},
        "Heartbeat": {"pooler_id": pooler_id},
        "PublishTerms": {"pooler_id": pooler_id, "pooler_fee": "0.05", "request_id": "five"},
        "GetTerms": {"pooler_id": pooler_id},
        "RegisterFarmer": {"pooler_id": pooler_id, "request_id": "four"},
        "JoinPool": {
            "pooler_id": pooler_id,
            "owner_account": Keypair.random().public_key,
            "terms_version": 1,
            "request_id": "six",
        },
        "GetFarmer": {"farmer_id": farmer_id},
        "ListFarmers": {"pooler_id": pooler_id},
        "UpdateFarmer": {"farmer_id": farmer_id, "stake_percentage": "0.05"},
        "SuspendFarmer": {"farmer_id": farmer_id},
        "ResumeFarmer": {"farmer_id": farmer_id},
        "StayFarmer": {"farmer_id": farmer_id},
        "StayPooler": {"pooler_id": pooler_id},
        "LeaveFarmer": {"farmer_id": farmer_id},
        "LeavePooler": {"pooler_id": pooler_id},
    }

    def call(method: str) -> Any:
        request = getattr(registry_pb2, f"{method}Request")(**calls[method])
        return getattr(world.stub, method)(request)

    assert set(calls) == {
        method.name
        for method in registry_pb2.DESCRIPTOR.services_by_name["RegistryService"].methods
    }
    await world.postgres.cut()
    for method in calls:
        error = await refusal(call(method))
        assert isinstance(error, UnavailableError), method
        assert error.reason == "DATABASE_UNAVAILABLE"
    await eventually(lambda: serving(world, expected=False), "it still says that it serves")
    await world.postgres.mend()
    for method in calls:
        assert await call(method), method
    await eventually(lambda: serving(world, expected=True), "it does not serve again")


async def serving(world: RegistryWorld, *, expected: bool) -> bool:
    """Whether the health check says what is expected."""
    return await is_serving(world.channel) is expected


@pytest.mark.parametrize("edge", EDGES)
async def test_postgres_goes_away_at_a_commit_edge(patient: RegistryWorld, edge: str) -> None:
    pooler_id = (await patient.pooler()).pooler_id
    request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id, request_id="one")
    failpoints.arm(f"{edge}@1=sleep:0.5")
    running = asyncio.ensure_future(refusal(patient.stub.RegisterFarmer(request)))
    await asyncio.sleep(0.25)
    await patient.postgres.cut()
    assert isinstance(await running, UnavailableError)
    await patient.postgres.mend()
    reply = await patient.stub.RegisterFarmer(request)
    assert reply.status == ACTIVE
    assert (await only_farmer(patient, pooler_id)).farmer_id == reply.farmer_id
    assert await patient.value("SELECT count(*) FROM wallet.wallets") == 1


@asynccontextmanager
async def open_process(
    database: DatabaseAccess, wallet: FakeCustody, logs: Path
) -> AsyncIterator[tuple["registry_pb2_grpc.RegistryServiceAsyncStub", Start]]:
    """A stub for a registry process that does not run yet, and what starts it."""
    settings = {"RECOVERY_SECONDS": "3600"}
    async with open_registry_process(database, wallet, logs, **settings) as (channel, start):
        yield registry_pb2_grpc.RegistryServiceStub(channel), start


@pytest.mark.e2e
@pytest.mark.parametrize("edge", EDGES)
async def test_registry_is_killed_at_a_commit_edge(
    database: DatabaseAccess, tmp_path: Path, edge: str
) -> None:
    async with (
        open_fake_custody(database.dsn("wallet")) as wallet,
        open_process(database, wallet, tmp_path) as (stub, start),
    ):
        process = await start(FAILPOINTS=f"{edge}=kill")
        pooler = registry_pb2.RegisterPoolerRequest(**named({"request_id": "pooler"}))
        pooler_id = (await patiently(stub.RegisterPooler, pooler)).pooler.pooler_id
        request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id, request_id="one")
        error: PoolError = await refusal(stub.RegisterFarmer(request, timeout=10))
        assert isinstance(error, UnavailableError)
        await eventually(lambda: has_died(process), "the failpoint was not reached")
        await start()
        reply = await patiently(stub.RegisterFarmer, request)
        listing = registry_pb2.ListFarmersRequest(pooler_id=pooler_id)
        (farmer,) = (await stub.ListFarmers(listing)).farmers
        assert (farmer.farmer_id, farmer.status) == (reply.farmer_id, ACTIVE)
        assert set(wallet.calls) == {reply.farmer_id}
        counted = await stub.GetPooler(registry_pb2.GetPoolerRequest(pooler_id=pooler_id))
        assert counted.pooler.current_farmers == 1


@pytest.mark.e2e
async def test_a_restarted_registry_completes_registrations_by_itself(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    async with (
        open_fake_custody(database.dsn("wallet")) as wallet,
        open_process(database, wallet, tmp_path) as (stub, start),
    ):
        await start(FAILPOINTS="registry.farmer.wallet_made=kill")
        pooler = registry_pb2.RegisterPoolerRequest(**named({}))
        pooler_id = (await patiently(stub.RegisterPooler, pooler)).pooler.pooler_id
        await refusal(
            stub.RegisterFarmer(registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id), timeout=10)
        )
        await start(RECOVERY_SECONDS="0.2")

        async def active() -> bool:
            request = registry_pb2.ListFarmersRequest(pooler_id=pooler_id)
            (farmer,) = (await patiently(stub.ListFarmers, request)).farmers
            return bool(farmer.status == ACTIVE)

        await eventually(active, "nobody completes the registration")
