"""Poolers: registered, read, listed, changed, suspended, resumed, alive."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from kalepool.registry.v1 import registry_pb2

from libs.common.errors import AlreadyExistsError, FailedPreconditionError
from tests.support.registry_world import RegistryWorld, fresh_request_id, named, refusal

ACTIVE, SUSPENDED = registry_pb2.POOLER_STATUS_ACTIVE, registry_pb2.POOLER_STATUS_SUSPENDED


async def test_a_pooler_is_what_was_registered(world: RegistryWorld) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    asked = named({"api_endpoint": "https://pooler.example:8443", "max_farmers": 7})
    pooler = await world.pooler(**asked)
    assert {name: getattr(pooler, name) for name in asked} == asked
    assert (pooler.current_farmers, pooler.status) == (0, ACTIVE)
    assert not pooler.HasField("last_seen")
    assert before < pooler.registered_at.ToDatetime(UTC) < datetime.now(UTC) + timedelta(seconds=5)
    assert await world.read_pooler(pooler.pooler_id) == pooler


async def test_a_pooler_gets_a_custodial_account_that_pays_it(world: RegistryWorld) -> None:
    pooler = await world.pooler()
    assert world.wallet.pooler_addresses[pooler.pooler_id] == pooler.public_key


async def test_a_pooler_registers_while_wallet_is_away(world: RegistryWorld) -> None:
    """wallet makes the account by itself, once it is there."""
    await world.wallet.stop()
    try:
        pooler = await world.pooler()
    finally:
        await world.wallet.start()
    assert pooler.pooler_id not in world.wallet.pooler_addresses


async def test_max_farmers_has_a_default(world: RegistryWorld) -> None:
    assert (await world.pooler()).max_farmers == 1000


async def test_a_public_key_has_one_pooler(world: RegistryWorld) -> None:
    first = await world.pooler()
    request = registry_pb2.RegisterPoolerRequest(**named({"public_key": first.public_key}))
    error = await refusal(world.stub.RegisterPooler(request))
    assert isinstance(error, AlreadyExistsError)
    assert (error.reason, error.metadata) == ("POOLER_EXISTS", {"public_key": first.public_key})


async def test_a_repeated_registration_gives_the_first_pooler(world: RegistryWorld) -> None:
    asked = named({"request_id": fresh_request_id()})
    replies = await asyncio.gather(*(world.pooler(**asked) for _ in range(8)))
    assert len({pooler.pooler_id for pooler in replies}) == 1
    for changes in ({"name": "south"}, named({}), {"max_farmers": 3}):
        request = registry_pb2.RegisterPoolerRequest(**{**asked, **changes})
        error = await refusal(world.stub.RegisterPooler(request))
        assert isinstance(error, FailedPreconditionError)
        assert error.reason == "REQUEST_ID_REUSED"
    assert await world.value("SELECT count(*) FROM registry.poolers") == 1


async def test_a_refused_registration_does_not_use_up_its_request_id(world: RegistryWorld) -> None:
    taken = await world.pooler()
    asked = named({"request_id": fresh_request_id(), "public_key": taken.public_key})
    await refusal(world.stub.RegisterPooler(registry_pb2.RegisterPoolerRequest(**asked)))
    assert (await world.pooler(**named({"request_id": asked["request_id"]}))).pooler_id


async def test_poolers_are_listed_in_order_a_page_at_a_time(world: RegistryWorld) -> None:
    made = [(await world.pooler(name=f"pooler {number}")).pooler_id for number in range(6)]
    seen: list[str] = []
    token, pages = "", 0
    while True:
        request = registry_pb2.ListPoolersRequest(page_size=2, page_token=token)
        page = await world.stub.ListPoolers(request)
        assert len(page.poolers) == 2
        seen += [pooler.pooler_id for pooler in page.poolers]
        token, pages = page.next_page_token, pages + 1
        if not token:
            break
    # The last page is full, and still says that it is the last.
    assert (seen, pages) == (made, 3)
    everything = await world.stub.ListPoolers(registry_pb2.ListPoolersRequest())
    assert [pooler.pooler_id for pooler in everything.poolers] == made
    assert not everything.next_page_token


async def test_only_what_is_given_changes(world: RegistryWorld) -> None:
    pooler = await world.pooler(api_endpoint="there", max_farmers=10)
    expected = registry_pb2.Pooler()
    expected.CopyFrom(pooler)
    changes: list[tuple[str, Any]] = [
        ("name", "south"),
        ("api_endpoint", ""),
        ("max_farmers", 1000),
        ("is_listed", True),
        ("is_open_to_join", True),
        ("is_listed", False),
        ("is_open_to_join", False),
    ]
    for field, value in changes:
        request = registry_pb2.UpdatePoolerRequest(pooler_id=pooler.pooler_id, **{field: value})
        setattr(expected, field, value)
        assert (await world.stub.UpdatePooler(request)).pooler == expected
    nothing = registry_pb2.UpdatePoolerRequest(pooler_id=pooler.pooler_id)
    assert (await world.stub.UpdatePooler(nothing)).pooler == expected


async def test_an_update_happens_once_per_request_id(world: RegistryWorld) -> None:
    pooler = await world.pooler()

    async def rename(name: str, request_id: str) -> str:
        request = registry_pb2.UpdatePoolerRequest(
            pooler_id=pooler.pooler_id, name=name, request_id=request_id
        )
        return (await world.stub.UpdatePooler(request)).pooler.name

    assert await rename("first", "1") == "first"
    assert await rename("second", "2") == "second"
    # The late repeat of the first call does not undo the second one.
    assert await rename("first", "1") == "second"
    request = registry_pb2.UpdatePoolerRequest(
        pooler_id=pooler.pooler_id, name="third", request_id="1"
    )
    assert (await refusal(world.stub.UpdatePooler(request))).reason == "REQUEST_ID_REUSED"


async def test_one_poolers_request_ids_are_not_anothers(world: RegistryWorld) -> None:
    one, other = await world.pooler(), await world.pooler()
    request = registry_pb2.UpdatePoolerRequest(
        pooler_id=one.pooler_id, name="south", request_id="same"
    )
    await world.stub.UpdatePooler(request)
    request.pooler_id = other.pooler_id
    assert (await world.stub.UpdatePooler(request)).pooler.name == "south"
    request.name = "north"
    assert (await refusal(world.stub.UpdatePooler(request))).reason == "REQUEST_ID_REUSED"
    assert (await world.read_pooler(one.pooler_id)).name == "south"


async def test_max_farmers_does_not_fall_below_the_farmers(world: RegistryWorld) -> None:
    pooler = await world.pooler(max_farmers=5)
    for _ in range(3):
        await world.farmer(pooler.pooler_id)
    request = registry_pb2.UpdatePoolerRequest(pooler_id=pooler.pooler_id, max_farmers=2)
    error = await refusal(world.stub.UpdatePooler(request))
    assert isinstance(error, FailedPreconditionError)
    assert (error.reason, error.metadata) == ("MAX_FARMERS_TOO_LOW", {"current_farmers": "3"})
    request.max_farmers = 3
    assert (await world.stub.UpdatePooler(request)).pooler.max_farmers == 3


async def test_a_pooler_is_suspended_and_resumed(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    for _ in range(2):
        suspend = registry_pb2.SuspendPoolerRequest(pooler_id=pooler_id)
        assert (await world.stub.SuspendPooler(suspend)).pooler.status == SUSPENDED
    for _ in range(2):
        resume = registry_pb2.ResumePoolerRequest(pooler_id=pooler_id)
        assert (await world.stub.ResumePooler(resume)).pooler.status == ACTIVE


async def test_a_heartbeat_sets_last_seen(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    request = registry_pb2.HeartbeatRequest(pooler_id=pooler_id)
    first = await world.stub.Heartbeat(request)
    second = await world.stub.Heartbeat(request)
    assert second.last_seen.ToNanoseconds() > first.last_seen.ToNanoseconds()
    assert (await world.read_pooler(pooler_id)).last_seen == second.last_seen
