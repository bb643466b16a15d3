"""Farmers: registered once, never more than the pooler takes, read, listed, changed, suspended."""

import asyncio
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf import struct_pb2
from kalepool.registry.v1 import registry_pb2
from stellar_sdk import Keypair

from libs.common.errors import FailedPreconditionError, PoolError, ResourceExhaustedError
from libs.common.grpc.errors import from_rpc_error
from tests.support.database import connect
from tests.support.registry_world import (
    RegistryWorld,
    fresh_request_id,
    open_registry,
    refusal,
)

ACTIVE, SUSPENDED = registry_pb2.FARMER_STATUS_ACTIVE, registry_pb2.FARMER_STATUS_SUSPENDED
OUTSIDE = Keypair.from_raw_ed25519_seed(bytes(32)).public_key


def request(pooler_id: str, **changes: Any) -> registry_pb2.RegisterFarmerRequest:
    """RegisterFarmer's arguments."""
    return registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id, **changes)


async def test_a_farmer_gets_a_wallet(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    reply = await world.stub.RegisterFarmer(request(pooler_id, stake_percentage="0.25"))
    assert (reply.pooler_id, reply.status, reply.current_balance) == (pooler_id, ACTIVE, 0)
    address = await world.value(
        "SELECT address FROM wallet.wallets WHERE farmer_id = $1", UUID(reply.farmer_id)
    )
    assert reply.custodial_wallet == address
    farmer = await world.read_farmer(reply.farmer_id)
    assert (farmer.custodial_wallet, farmer.status) == (address, ACTIVE)
    assert farmer.registered_at == reply.registered_at
    assert (farmer.stake_percentage, farmer.is_funded) == ("0.25", False)
    assert (await world.read_pooler(pooler_id)).current_farmers == 1


async def test_everything_about_a_farmer_is_kept(world: RegistryWorld) -> None:
    metadata = struct_pb2.Struct()
    metadata.update({"name": "Zoë", "tags": [1, 2.5, None, True], "nested": {"a": {}}})
    pooler_id = (await world.pooler()).pooler_id
    farmer = await world.farmer(pooler_id, metadata=metadata, payout_wallet_address=OUTSIDE)
    assert farmer.metadata == metadata
    assert farmer.payout_wallet_address == OUTSIDE
    # The seed's default.
    assert farmer.stake_percentage == "0.1"


@pytest.mark.parametrize(("given", "kept"), [("0.8000", "0.8"), ("0.0001", "0.0001"), ("1", "1")])
async def test_a_stake_percentage_is_stored_exactly(
    world: RegistryWorld, given: str, kept: str
) -> None:
    farmer = await world.farmer((await world.pooler()).pooler_id, stake_percentage=given)
    assert farmer.stake_percentage == kept
    stored = await world.value("SELECT stake_percentage::text FROM registry.farmers")
    assert stored == f"{kept}.0000" if "." not in kept else stored == kept.ljust(6, "0")


async def test_what_the_chain_and_harvest_know_is_shown(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    farmers = [await world.farmer(pooler_id) for _ in range(3)]
    await world.wallet.fund(farmers[0].farmer_id)
    await world.wallet.fund(farmers[1].farmer_id, has_trustline=False)
    async with connect(world.database.admin_dsn) as everybody:
        await everybody.execute(
            "INSERT INTO harvest.balances (farmer_id, current_balance, total_rewards, harvests, "
            "updated_at) VALUES ($1, $2, $2, 3, now())",
            UUID(farmers[0].farmer_id),
            1_500_000_000_000,
        )
    listed = await world.stub.ListFarmers(registry_pb2.ListFarmersRequest(pooler_id=pooler_id))
    assert [farmer.is_funded for farmer in listed.farmers] == [True, False, False]
    assert [farmer.current_balance for farmer in listed.farmers] == [1_500_000_000_000, 0, 0]
    assert [await world.read_farmer(one.farmer_id) for one in farmers] == list(listed.farmers)


async def test_a_repeated_registration_gives_the_same_farmer(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    asked = request(pooler_id, request_id=fresh_request_id(), stake_percentage="0.5")
    replies = await asyncio.gather(*(world.stub.RegisterFarmer(asked) for _ in range(10)))
    assert len({reply.SerializeToString() for reply in replies}) == 1
    asked.stake_percentage = "0.5000"  # the same number
    assert await world.stub.RegisterFarmer(asked) == replies[0]
    assert await world.value("SELECT count(*) FROM wallet.wallets") == 1
    assert (await world.read_pooler(pooler_id)).current_farmers == 1


async def test_a_request_id_names_one_registration_of_a_pooler(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    metadata = struct_pb2.Struct()
    metadata.update({"a": 1})
    first = await world.farmer(pooler_id, request_id="one")
    for changes in (
        {"stake_percentage": "0.2"},
        {"metadata": metadata},
        {"payout_wallet_address": OUTSIDE},
    ):
        asked = request(pooler_id, request_id="one", **changes)
        error = await refusal(world.stub.RegisterFarmer(asked))
        assert isinstance(error, FailedPreconditionError)
        assert error.reason == "REQUEST_ID_REUSED"
    other = await world.farmer((await world.pooler()).pooler_id, request_id="one")
    assert other.farmer_id != first.farmer_id


async def test_a_suspended_pooler_takes_no_farmers_but_keeps_its_answers(
    world: RegistryWorld,
) -> None:
    pooler_id = (await world.pooler()).pooler_id
    farmer = await world.farmer(pooler_id, request_id="before")
    await world.stub.SuspendPooler(registry_pb2.SuspendPoolerRequest(pooler_id=pooler_id))
    error = await refusal(world.stub.RegisterFarmer(request(pooler_id)))
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "POOLER_SUSPENDED"
    assert (await world.farmer(pooler_id, request_id="before")).farmer_id == farmer.farmer_id


async def test_a_full_pool_says_so(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler(max_farmers=1)).pooler_id
    await world.farmer(pooler_id, request_id="first")
    error = await refusal(world.stub.RegisterFarmer(request(pooler_id)))
    assert isinstance(error, ResourceExhaustedError)
    assert (error.reason, error.metadata) == ("POOL_FULL", {"max_farmers": "1"})
    assert await world.farmer(pooler_id, request_id="first")


async def test_concurrent_registrations_never_exceed_the_limit(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler(max_farmers=10)).pooler_id
    async with open_registry(world.database, world.wallet) as replica:

        async def register(number: int) -> str:
            stub = (world, replica)[number % 2].stub
            try:
                return (await stub.RegisterFarmer(request(pooler_id))).farmer_id
            except grpc.aio.AioRpcError as error:
                return from_rpc_error(error).reason

        answers = await asyncio.gather(*(register(number) for number in range(40)))
    # Ten farmers, all different, and thirty refusals.
    assert (answers.count("POOL_FULL"), len(set(answers))) == (30, 11)
    assert (await world.read_pooler(pooler_id)).current_farmers == 10
    assert await world.value("SELECT count(*) FROM registry.farmers") == 10


async def test_lowering_the_limit_races_with_registrations(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler(max_farmers=20)).pooler_id
    lower = registry_pb2.UpdatePoolerRequest(pooler_id=pooler_id, max_farmers=5)
    calls: list[Any] = [world.stub.RegisterFarmer(request(pooler_id)) for _ in range(12)]
    calls.insert(4, world.stub.UpdatePooler(lower))
    await asyncio.gather(*calls, return_exceptions=True)
    pooler = await world.read_pooler(pooler_id)
    assert pooler.current_farmers <= pooler.max_farmers
    assert await world.value("SELECT count(*) FROM registry.farmers") == pooler.current_farmers


async def test_farmers_are_listed_in_order_a_page_at_a_time(world: RegistryWorld) -> None:
    mine, other = [(await world.pooler()).pooler_id for _ in range(2)]
    made = [(await world.farmer(mine)).farmer_id for _ in range(4)]
    foreign = (await world.farmer(other)).farmer_id
    seen, token = [], ""
    for size in (3, 1):
        page = await world.stub.ListFarmers(
            registry_pb2.ListFarmersRequest(pooler_id=mine, page_size=3, page_token=token)
        )
        assert len(page.farmers) == size
        seen += [farmer.farmer_id for farmer in page.farmers]
        token = page.next_page_token
    assert (seen, token) == (made, "")
    full = await world.stub.ListFarmers(
        registry_pb2.ListFarmersRequest(pooler_id=mine, page_size=4)
    )
    assert (len(full.farmers), full.next_page_token) == (4, "")
    everyone = await world.stub.ListFarmers(registry_pb2.ListFarmersRequest())
    assert [farmer.farmer_id for farmer in everyone.farmers] == [*made, foreign]


async def test_only_what_is_given_changes(world: RegistryWorld) -> None:
    expected = await world.farmer(
        (await world.pooler()).pooler_id, payout_wallet_address=OUTSIDE, stake_percentage="0.5"
    )
    metadata = struct_pb2.Struct()
    metadata.update({"note": "new"})
    changes: dict[str, Any] = {
        "stake_percentage": "0",
        "metadata": metadata,
        "payout_wallet_address": "",
    }
    world.wallet.payout_addresses[expected.farmer_id].append("")
    for field, value in changes.items():
        change = registry_pb2.UpdateFarmerRequest(farmer_id=expected.farmer_id, **{field: value})
        if isinstance(value, struct_pb2.Struct):
            expected.metadata.CopyFrom(value)
        else:
            setattr(expected, field, value)
        assert (await world.stub.UpdateFarmer(change)).farmer == expected


async def test_registry_notes_where_wallet_says_that_a_farmer_is_paid_out(
    world: RegistryWorld,
) -> None:
    farmer = await world.farmer((await world.pooler()).pooler_id, payout_wallet_address=OUTSIDE)
    told = world.wallet.payout_addresses[farmer.farmer_id]
    assert told == [OUTSIDE]

    async def update(request_id: str, address: str) -> str:
        change = registry_pb2.UpdateFarmerRequest(
            farmer_id=farmer.farmer_id, payout_wallet_address=address, request_id=request_id
        )
        return (await world.stub.UpdateFarmer(change)).farmer.payout_wallet_address

    error = await refusal(update("one", ""))
    assert error.reason == "PAYOUT_ADDRESS_NOT_SET"
    assert error.metadata == {"expected": "", "found": OUTSIDE}
    assert await update("two", OUTSIDE) == OUTSIDE
    told.append("")
    assert await update("one", "") == ""
    told.append(OUTSIDE)
    assert await update("three", OUTSIDE) == OUTSIDE
    # A late repeat of an older change must not undo a newer one.
    assert await update("one", "") == OUTSIDE
    assert told == [OUTSIDE, "", OUTSIDE], "registry tells wallet nothing"


async def test_a_payout_address_of_which_wallet_says_nothing_is_not_noted(
    world: RegistryWorld,
) -> None:
    farmer = await world.farmer((await world.pooler()).pooler_id)
    world.wallet.refusals[farmer.farmer_id] = FailedPreconditionError("no", reason="NO")
    change = registry_pb2.UpdateFarmerRequest(
        farmer_id=farmer.farmer_id,
        payout_wallet_address=OUTSIDE,
        stake_percentage="0.0625",
        request_id="one",
    )
    assert (await refusal(world.stub.UpdateFarmer(change))).reason == "NO"
    request = registry_pb2.GetFarmerRequest(farmer_id=farmer.farmer_id)
    assert (await world.stub.GetFarmer(request)).farmer == farmer, "all or nothing"
    del world.wallet.refusals[farmer.farmer_id]
    world.wallet.payout_addresses[farmer.farmer_id].append(OUTSIDE)
    changed = (await world.stub.UpdateFarmer(change)).farmer
    assert (changed.payout_wallet_address, changed.stake_percentage) == (OUTSIDE, "0.0625")


async def test_more_stake_is_noted_only_once_wallet_signs_it(world: RegistryWorld) -> None:
    pooler_id = (await world.pooler()).pooler_id
    farmer = await world.farmer(pooler_id, stake_percentage="0.5")
    assert world.wallet.stake_limits[farmer.farmer_id] == "0.5", "wallet is told at registration"

    async def stake(text: str) -> str:
        change = registry_pb2.UpdateFarmerRequest(farmer_id=farmer.farmer_id, stake_percentage=text)
        return (await world.stub.UpdateFarmer(change)).farmer.stake_percentage

    error = await refusal(stake("0.5001"))
    assert (error.reason, error.metadata) == ("STAKE_NOT_AGREED", {"limit": "0.5"})
    assert "stake_percentage" in error.message
    assert [await stake("0.1"), await stake("0.5")] == ["0.1", "0.5"]
    world.wallet.stake_limits[farmer.farmer_id] = "0.6"
    assert await stake("0.6") == "0.6"


async def test_an_update_happens_once_per_request_id(world: RegistryWorld) -> None:
    farmer_id = (await world.farmer((await world.pooler()).pooler_id)).farmer_id
    world.wallet.stake_limits[farmer_id] = "1"

    async def stake(text: str, request_id: str) -> str:
        change = registry_pb2.UpdateFarmerRequest(
            farmer_id=farmer_id, stake_percentage=text, request_id=request_id
        )
        return (await world.stub.UpdateFarmer(change)).farmer.stake_percentage

    assert [await stake("0.2", "1"), await stake("0.3", "2")] == ["0.2", "0.3"]
    assert await stake("0.2", "1") == "0.3"
    change = registry_pb2.UpdateFarmerRequest(
        farmer_id=farmer_id, stake_percentage="0.9", request_id="2"
    )
    assert (await refusal(world.stub.UpdateFarmer(change))).reason == "REQUEST_ID_REUSED"


async def test_a_farmer_is_suspended_and_resumed(world: RegistryWorld) -> None:
    farmer_id = (await world.farmer((await world.pooler()).pooler_id)).farmer_id
    for _ in range(2):
        suspend = registry_pb2.SuspendFarmerRequest(farmer_id=farmer_id)
        assert (await world.stub.SuspendFarmer(suspend)).farmer.status == SUSPENDED
    for _ in range(2):
        resume = registry_pb2.ResumeFarmerRequest(farmer_id=farmer_id)
        assert (await world.stub.ResumeFarmer(resume)).farmer.status == ACTIVE


@pytest.mark.parametrize("status", ["closing", "departed"])
async def test_who_has_left_is_neither_suspended_nor_resumed(
    world: RegistryWorld, status: str
) -> None:
    farmer_id = (await world.farmer((await world.pooler()).pooler_id)).farmer_id
    for one in dict.fromkeys(("closing", status)):
        await world.value(f"UPDATE registry.farmers SET status = '{one}'")  # noqa: S608
    errors: list[PoolError] = [
        await refusal(
            world.stub.SuspendFarmer(registry_pb2.SuspendFarmerRequest(farmer_id=farmer_id))
        ),
        await refusal(
            world.stub.ResumeFarmer(registry_pb2.ResumeFarmerRequest(farmer_id=farmer_id))
        ),
    ]
    for error in errors:
        assert isinstance(error, FailedPreconditionError)
        assert (error.reason, error.metadata) == ("FARMER_STATUS", {"status": status})
