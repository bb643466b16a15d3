"""Farmers and poolers that leave: step by step, called off in time, whoever fails meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kalepool.registry.v1 import notification_pb2, registry_pb2
from stellar_sdk import Keypair

from libs.common import failpoints
from libs.common.errors import FailedPreconditionError, UnavailableError
from libs.common.ids import FarmerId, new_id
from services.registry.domain.errors import LeavingNotYoursError
from services.registry.domain.joining import JoinLimits
from services.registry.domain.leaving import Word
from services.registry.domain.status import FarmerStatus
from services.registry.usecases.leaving import Departures
from services.registry.usecases.registry import Registry
from tests.support.database import DatabaseAccess, connect
from tests.support.registry_world import RegistryWorld, eventually, open_registry_world, refusal

ACTIVE, SUSPENDED, LEAVING, CLOSING, DEPARTED = (
    registry_pb2.FARMER_STATUS_ACTIVE,
    registry_pb2.FARMER_STATUS_SUSPENDED,
    registry_pb2.FARMER_STATUS_LEAVING,
    registry_pb2.FARMER_STATUS_CLOSING,
    registry_pb2.FARMER_STATUS_DEPARTED,
)


@pytest.fixture
async def brisk(database: DatabaseAccess) -> AsyncIterator[RegistryWorld]:
    """A registry that looks at who leaves again and again."""
    async with open_registry_world(database, leaving_seconds=0.1) as running:
        yield running


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """No failpoint stays armed."""
    yield
    failpoints.arm("")


async def leave(world: RegistryWorld, farmer_id: str) -> registry_pb2.Farmer:
    """Have a farmer leave."""
    request = registry_pb2.LeaveFarmerRequest(farmer_id=farmer_id)
    return (await world.stub.LeaveFarmer(request)).farmer


async def stay(world: RegistryWorld, farmer_id: str) -> registry_pb2.Farmer:
    """Call a farmer's leaving off."""
    request = registry_pb2.StayFarmerRequest(farmer_id=farmer_id)
    return (await world.stub.StayFarmer(request)).farmer


async def has_status(world: RegistryWorld, farmer_id: str, status: int) -> registry_pb2.Farmer:
    """Wait until a farmer has a status."""
    found = registry_pb2.Farmer()

    async def holds() -> bool:
        nonlocal found
        found = await world.read_farmer(farmer_id)
        return found.status == status

    await eventually(holds, f"the farmer does not come to {status}")
    return found


async def waits(world: RegistryWorld, farmer_id: str, reason: str) -> registry_pb2.Farmer:
    """Wait until a farmer is known to wait for something."""
    found = registry_pb2.Farmer()

    async def holds() -> bool:
        nonlocal found
        found = await world.read_farmer(farmer_id)
        return found.waits_for.reason == reason

    await eventually(holds, f"the farmer does not wait for {reason}")
    return found


async def owes_fees(world: RegistryWorld, farmer: registry_pb2.Farmer, stroops: int) -> None:
    """Have fees lie in a farmer's account."""
    async with connect(world.database.admin_dsn) as admin:
        await admin.execute(
            "INSERT INTO harvest.fee_claims (farmer_id, pooler_id, pooler, miners, operator)"
            " VALUES ($1, $2, $3, 0, 0) ON CONFLICT (farmer_id) DO UPDATE SET pooler = $3",
            farmer.farmer_id,
            farmer.pooler_id,
            stroops,
        )


async def test_a_farmer_leaves_and_what_is_personal_goes(brisk: RegistryWorld) -> None:
    pooler_id = (await brisk.pooler(max_farmers=2)).pooler_id
    owner, outside = Keypair.random().public_key, Keypair.random().public_key
    person = {
        "metadata": {"name": "Kim"},
        "owner_account": owner,
        "payout_wallet_address": outside,
        "request_id": "one",
    }
    farmer = await brisk.farmer(pooler_id, **person)
    assert (farmer.owner_account, farmer.payout_wallet_address) == (owner, outside)
    left = await leave(brisk, farmer.farmer_id)
    assert left.leaving_word == registry_pb2.LEAVING_WORD_OPERATOR
    gone = await has_status(brisk, farmer.farmer_id, DEPARTED)
    assert brisk.wallet.closed == [farmer.farmer_id]
    assert (gone.owner_account, gone.payout_wallet_address, len(gone.metadata)) == ("", "", 0)
    assert not gone.HasField("leaving_since")
    assert gone.custodial_wallet == farmer.custodial_wallet
    assert (await brisk.read_pooler(pooler_id)).current_farmers == 0
    # The log of changes does not repeat it.
    told = await brisk.value(
        "SELECT before || after FROM registry.changes WHERE row_id = $1"
        " ORDER BY number DESC LIMIT 1",
        farmer.farmer_id,
    )
    assert told == '{"status": "departed"}'
    # Twice is the same as once; nothing else is done with it.
    assert (await leave(brisk, farmer.farmer_id)).status == DEPARTED
    assert (await refusal(stay(brisk, farmer.farmer_id))).metadata == {"status": "departed"}
    # It may come again, as a new one.
    again = await brisk.farmer(pooler_id, **(person | {"request_id": "two"}))
    assert again.farmer_id != farmer.farmer_id
    request = notification_pb2.ListNotificationsRequest(farmer_id=farmer.farmer_id)
    notified = (await brisk.notifications.ListNotifications(request)).notifications
    assert [(one.kind, dict(one.facts)) for one in notified][::-1] == [
        (kind, {"address": farmer.custodial_wallet})
        for kind in (
            notification_pb2.NOTIFICATION_KIND_FARMER_LEAVING,
            notification_pb2.NOTIFICATION_KIND_FARMER_LEFT,
        )
    ]


async def test_a_farmer_waits_until_nothing_is_left(brisk: RegistryWorld) -> None:
    farmer = await brisk.farmer((await brisk.pooler()).pooler_id)
    await owes_fees(brisk, farmer, 7)
    began = await leave(brisk, farmer.farmer_id)
    found = await waits(brisk, farmer.farmer_id, "FEES_UNPAID")
    assert found.waits_for.message == "7 stroops of KALE are owed as fees, and lie in its account"
    assert (found.status, found.leaving_since) == (LEAVING, began.leaving_since)
    assert brisk.wallet.closed == []
    await owes_fees(brisk, farmer, 0)
    await has_status(brisk, farmer.farmer_id, DEPARTED)


async def test_leaving_is_called_off_until_the_account_is_closed(brisk: RegistryWorld) -> None:
    farmer = await brisk.farmer((await brisk.pooler()).pooler_id)
    farmer_id = farmer.farmer_id
    await owes_fees(brisk, farmer, 1)
    await leave(brisk, farmer_id)
    stays = await stay(brisk, farmer_id)
    assert (stays.status, stays.HasField("leaving_since")) == (ACTIVE, False)
    assert (await stay(brisk, farmer_id)).status == ACTIVE
    brisk.wallet.closings[farmer_id] = False
    await owes_fees(brisk, farmer, 0)
    await leave(brisk, farmer_id)
    await has_status(brisk, farmer_id, CLOSING)
    error = await refusal(stay(brisk, farmer_id))
    assert (error.reason, error.metadata) == ("FARMER_STATUS", {"status": "closing"})
    assert (await leave(brisk, farmer_id)).status == CLOSING
    brisk.wallet.closings[farmer_id] = True
    await has_status(brisk, farmer_id, DEPARTED)


async def test_what_wallet_finds_is_told_and_it_goes_on_afterwards(brisk: RegistryWorld) -> None:
    farmer_id = (await brisk.farmer((await brisk.pooler()).pooler_id)).farmer_id
    brisk.wallet.closings[farmer_id] = FailedPreconditionError("signer GX", reason="ACCOUNT_HOLDS")
    await leave(brisk, farmer_id)
    found = await waits(brisk, farmer_id, "ACCOUNT_HOLDS")
    assert found.waits_for.message == "signer GX"
    # It may be called off again.
    assert (await has_status(brisk, farmer_id, LEAVING)).status == LEAVING
    brisk.wallet.closings[farmer_id] = UnavailableError("no node")
    await has_status(brisk, farmer_id, CLOSING)
    assert (await brisk.read_farmer(farmer_id)).status == CLOSING
    del brisk.wallet.closings[farmer_id]
    await has_status(brisk, farmer_id, DEPARTED)


async def test_a_suspended_farmer_may_leave_and_one_that_leaves_be_stopped(
    brisk: RegistryWorld,
) -> None:
    farmer = await brisk.farmer((await brisk.pooler()).pooler_id)
    suspend = registry_pb2.SuspendFarmerRequest(farmer_id=farmer.farmer_id)
    await owes_fees(brisk, farmer, 1)
    await brisk.stub.SuspendFarmer(suspend)
    assert (await refusal(stay(brisk, farmer.farmer_id))).metadata == {"status": "suspended"}
    assert (await leave(brisk, farmer.farmer_id)).status == LEAVING
    assert (await brisk.stub.SuspendFarmer(suspend)).farmer.status == SUSPENDED


async def test_who_has_no_wallet_yet_cannot_leave(brisk: RegistryWorld) -> None:
    farmer = await brisk.farmer((await brisk.pooler()).pooler_id)
    await brisk.value(
        "UPDATE registry.farmers SET status = 'provisioning', wallet_id = NULL,"
        " custodial_public_key = NULL"
    )
    await brisk.wallet.stop()
    error = await refusal(leave(brisk, farmer.farmer_id))
    assert (error.reason, error.metadata) == ("FARMER_STATUS", {"status": "provisioning"})
    await brisk.wallet.start()
    unknown = await refusal(leave(brisk, str(new_id())))
    assert unknown.reason == "FARMER_NOT_FOUND"


async def test_nobody_departs_but_from_closing(brisk: RegistryWorld) -> None:
    """Whoever has registry's password makes nobody forgotten whose account is open."""
    farmer = await brisk.farmer((await brisk.pooler()).pooler_id)
    async with connect(brisk.database.dsn("registry")) as thief:
        with pytest.raises(Exception, match="has not closed its account"):
            await thief.execute(
                "UPDATE registry.farmers SET status = 'departed' WHERE id = $1", farmer.farmer_id
            )


@pytest.mark.faults
@pytest.mark.parametrize("edge", ["emptied", "closed"])
async def test_who_leaves_does_so_whenever_registry_fails(brisk: RegistryWorld, edge: str) -> None:
    pooler_id = (await brisk.pooler()).pooler_id
    farmer_id = (await brisk.farmer(pooler_id)).farmer_id
    failpoints.arm(f"registry.leaving.{edge}@1=raise")
    await leave(brisk, farmer_id)
    # The process that failed had it to itself for a while.
    await brisk.value("UPDATE registry.leavings SET due_at = now()")

    async def is_over() -> bool:
        await brisk.value("UPDATE registry.leavings SET due_at = now()")
        return (await brisk.read_farmer(farmer_id)).status == DEPARTED

    await eventually(is_over, "the farmer does not leave")
    assert (await brisk.read_pooler(pooler_id)).current_farmers == 0


@pytest.mark.faults
async def test_a_refusal_that_was_not_noted_is_asked_for_again(brisk: RegistryWorld) -> None:
    farmer_id = (await brisk.farmer((await brisk.pooler()).pooler_id)).farmer_id
    brisk.wallet.closings[farmer_id] = FailedPreconditionError("5 stroops", reason="ACCOUNT_BUSY")
    failpoints.arm("registry.leaving.refused@1=raise")
    await leave(brisk, farmer_id)

    async def is_told() -> bool:
        await brisk.value("UPDATE registry.leavings SET due_at = now()")
        return (await brisk.read_farmer(farmer_id)).waits_for.reason == "ACCOUNT_BUSY"

    await eventually(is_told, "nobody says what it waits for")


async def test_what_an_owner_account_signed_is_carried_out_and_not_called_off_by_a_pooler(
    brisk: RegistryWorld,
) -> None:
    farmer = await brisk.farmer((await brisk.pooler()).pooler_id)
    await owes_fees(brisk, farmer, 1)
    async with connect(brisk.database.admin_dsn) as admin:
        await admin.execute(
            "INSERT INTO wallet.leave_wishes (wallet_id, number, farmer_id, signature)"
            " SELECT id, 1, farmer_id, $2 FROM wallet.wallets WHERE farmer_id = $1",
            farmer.farmer_id,
            bytes(64),
        )
    found = await has_status(brisk, farmer.farmer_id, LEAVING)
    assert found.leaving_word == registry_pb2.LEAVING_WORD_OWNER
    await stay(brisk, farmer.farmer_id)
    await asyncio.sleep(0.5)
    assert (await brisk.read_farmer(farmer.farmer_id)).status == ACTIVE


async def test_a_weaker_word_is_told_whose_is_stronger() -> None:
    registry = Registry(
        store=cast(Any, Weak()),
        wallet=cast(Any, None),
        join_limits=JoinLimits(daily=0, owner_daily=1),
    )
    departures = Departures(
        registry=registry, store=cast(Any, Weak()), wallet=cast(Any, None), pause=1.0
    )
    with pytest.raises(LeavingNotYoursError) as caught:
        await departures.stay(FarmerId(new_id()), Word.POOLER, actor="pooler")
    assert caught.value.metadata == {"word": "operator"}


class Weak:
    """A store of a farmer that leaves by an operator's word."""

    async def stay(self, _farmer: FarmerId, _word: Word) -> bool:
        """It does not."""
        return False

    async def farmer(self, _farmer: FarmerId) -> Any:
        """The farmer."""
        return SimpleNamespace(status=FarmerStatus.LEAVING, leaving_word="operator")


# Poolers -----------------------------------------------------------------------------------------


async def leave_pooler(world: RegistryWorld, pooler_id: str) -> registry_pb2.Pooler:
    """Have a pooler leave."""
    request = registry_pb2.LeavePoolerRequest(pooler_id=pooler_id)
    return (await world.stub.LeavePooler(request)).pooler


async def stay_pooler(world: RegistryWorld, pooler_id: str) -> registry_pb2.Pooler:
    """Call a pooler's leaving off."""
    request = registry_pb2.StayPoolerRequest(pooler_id=pooler_id)
    return (await world.stub.StayPooler(request)).pooler


async def test_a_pooler_leaves_after_its_farmers(brisk: RegistryWorld) -> None:
    pooler_id = (await brisk.pooler()).pooler_id
    first, last = [await brisk.farmer(pooler_id) for _ in range(2)]
    other = await brisk.farmer((await brisk.pooler()).pooler_id)
    await brisk.stub.SuspendPooler(registry_pb2.SuspendPoolerRequest(pooler_id=pooler_id))
    await brisk.stub.ResumePooler(registry_pb2.ResumePoolerRequest(pooler_id=pooler_id))
    await owes_fees(brisk, last, 3)
    assert (await leave_pooler(brisk, pooler_id)).stage == registry_pb2.POOLER_STAGE_LEAVING
    error = await refusal(brisk.farmer(pooler_id))
    assert error.reason == "POOLER_LEAVING"
    await has_status(brisk, first.farmer_id, DEPARTED)

    async def is_told() -> bool:
        told = (await brisk.read_pooler(pooler_id)).waits_for
        return (told.reason, told.message) == ("FARMERS", "1 farmers have not left yet")

    await eventually(is_told, "nobody says that farmers are left")
    assert pooler_id not in brisk.wallet.closed
    await owes_fees(brisk, last, 0)

    async def has_left() -> bool:
        found = await brisk.read_pooler(pooler_id)
        return found.stage == registry_pb2.POOLER_STAGE_DEPARTED

    await eventually(has_left, "the pooler does not leave")
    assert brisk.wallet.closed[-1] == pooler_id
    assert (await leave_pooler(brisk, pooler_id)).stage == registry_pb2.POOLER_STAGE_DEPARTED
    assert (await refusal(stay_pooler(brisk, pooler_id))).metadata == {"stage": "departed"}
    assert (await brisk.read_farmer(other.farmer_id)).status == ACTIVE


async def test_a_pooler_stays_with_the_farmers_that_left_because_of_it(
    brisk: RegistryWorld,
) -> None:
    pooler_id = (await brisk.pooler()).pooler_id
    own, along = [await brisk.farmer(pooler_id) for _ in range(2)]
    for one in (own, along):
        await owes_fees(brisk, one, 1)
    await leave(brisk, own.farmer_id)
    await leave_pooler(brisk, pooler_id)
    await has_status(brisk, along.farmer_id, LEAVING)
    for _ in range(2):
        stage = (await stay_pooler(brisk, pooler_id)).stage
        assert stage == registry_pb2.POOLER_STAGE_FARMING
    assert (await brisk.read_farmer(along.farmer_id)).status == ACTIVE
    assert (await brisk.read_farmer(own.farmer_id)).status == LEAVING
    assert (await brisk.farmer(pooler_id)).status == ACTIVE
