"""Farmers that join by themselves: their place, their agreement, and every refusal."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2
from stellar_sdk import Keypair

from libs.common.errors import (
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
)
from libs.common.ids import PoolerId, new_id
from services.registry.domain.joining import Joined
from services.registry.store.store import QUERIES, Store
from tests.support.database import DatabaseAccess, connect, open_as
from tests.support.registry_world import RegistryWorld, open_registry_world, refusal
from tests.support.table_rows import insert_row

ACTIVE = registry_pb2.FARMER_STATUS_ACTIVE


def account() -> str:
    return Keypair.random().public_key


@dataclass(frozen=True, kw_only=True)
class Joining:
    """A registry, and a pooler that lets farmers join."""

    world: RegistryWorld
    pooler_id: str

    def join(self, owner: str | None = None, **changes: Any) -> Any:
        """JoinPool under the terms in force."""
        given: dict[str, Any] = {
            "pooler_id": self.pooler_id,
            "owner_account": owner or account(),
            "terms_version": 1,
        }
        return self.world.stub.JoinPool(registry_pb2.JoinPoolRequest(**{**given, **changes}))

    async def update(self, **changes: Any) -> None:
        """Change the pooler."""
        request = registry_pb2.UpdatePoolerRequest(pooler_id=self.pooler_id, **changes)
        await self.world.stub.UpdatePooler(request)

    async def publish(self, **changes: Any) -> None:
        """Publish other terms."""
        given: dict[str, Any] = {"pooler_fee": "0.05", "stake_percentage": "0.3", **changes}
        request = registry_pb2.PublishTermsRequest(pooler_id=self.pooler_id, **given)
        await self.world.stub.PublishTerms(request)

    async def farmers(self) -> int:
        """The farmers that the pooler has, by its own count and by its rows."""
        found: int = await self.world.value("SELECT count(*) FROM registry.farmers")
        assert (await self.world.read_pooler(self.pooler_id)).current_farmers == found
        return found


async def opened(world: RegistryWorld, **terms: Any) -> Joining:
    """A pooler that lets farmers join."""
    joining = Joining(world=world, pooler_id=(await world.pooler()).pooler_id)
    await joining.publish(**terms)
    await joining.update(is_open_to_join=True)
    return joining


@pytest.fixture
async def joining(world: RegistryWorld) -> Joining:
    """A pooler that lets farmers join."""
    return await opened(world)


async def test_a_farmer_joins_with_its_account_and_its_agreement(joining: Joining) -> None:
    owner = account()
    joined = (await joining.join(owner, stake_percentage="0.25")).farmer
    assert joined == await joining.world.read_farmer(joined.farmer_id)
    assert (joined.status, joined.pooler_id, joined.owner_account, joined.terms_version) == (
        ACTIVE,
        joining.pooler_id,
        owner,
        1,
    )
    assert (joined.stake_percentage, joined.payout_wallet_address) == ("0.25", "")
    assert joined.custodial_wallet
    (request,) = joining.world.wallet.created.values()
    assert (request.owner_account, request.payout_address) == (owner, "")
    assert (request.terms.terms_version, request.terms.pooler_fee) == (1, "0.05")
    # The test's connection is plaintext: nobody shows who it is.
    assert request.proof == agreement_pb2.AGREEMENT_PROOF_PLAINTEXT
    assert await joining.world.value("SELECT joined_itself FROM registry.farmers")


async def test_who_says_no_stake_gets_the_usual_one_as_the_terms_allow_it(
    world: RegistryWorld,
) -> None:
    usual = await opened(world)
    assert (await usual.join()).farmer.stake_percentage == "0.1"
    less = await opened(world, stake_percentage="0.05")
    assert (await less.join()).farmer.stake_percentage == "0.05"


async def test_a_repeat_gives_the_same_farmer_also_when_nobody_may_join_any_more(
    joining: Joining,
) -> None:
    owner = account()
    first = (await joining.join(owner, request_id="one")).farmer
    again = await asyncio.gather(*(joining.join(owner, request_id="one") for _ in range(4)))
    assert {reply.farmer.farmer_id for reply in again} == {first.farmer_id}
    await joining.update(is_open_to_join=False)
    assert (await joining.join(owner, request_id="one")).farmer.farmer_id == first.farmer_id
    error = await refusal(joining.join(owner, request_id="one", stake_percentage="0.2"))
    assert error.reason == "REQUEST_ID_REUSED"
    assert await joining.farmers() == 1


async def test_request_ids_of_owners_and_of_the_pooler_are_apart(joining: Joining) -> None:
    of_pooler = await joining.world.farmer(joining.pooler_id, request_id="one")
    others = [(await joining.join(request_id="one")).farmer.farmer_id for _ in range(2)]
    assert len({of_pooler.farmer_id, *others}) == 3


async def test_where_the_operator_lets_nobody_join_nobody_does(database: DatabaseAccess) -> None:
    async with open_registry_world(database, self_join_daily=0) as world:
        joining = await opened(world)
        error = await refusal(joining.join())
        assert isinstance(error, FailedPreconditionError)
        assert error.reason == "SELF_JOIN_OFF"
        assert await joining.farmers() == 0


async def test_where_the_pooler_lets_nobody_join_nobody_does(joining: Joining) -> None:
    await joining.update(is_open_to_join=False)
    error = await refusal(joining.join())
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "NOT_OPEN_TO_JOIN"
    # It registers whom it wants all the same.
    await joining.world.farmer(joining.pooler_id, owner_account=account())
    assert await joining.farmers() == 1


async def test_a_suspended_pooler_takes_nobody(joining: Joining) -> None:
    request = registry_pb2.SuspendPoolerRequest(pooler_id=joining.pooler_id)
    await joining.world.stub.SuspendPooler(request)
    assert (await refusal(joining.join())).reason == "POOLER_SUSPENDED"


async def test_a_pooler_without_room_takes_nobody(joining: Joining) -> None:
    await joining.update(max_farmers=1)
    await joining.join()
    error = await refusal(joining.join())
    assert isinstance(error, ResourceExhaustedError)
    assert error.reason == "POOL_FULL"


async def test_one_joins_under_the_terms_that_were_shown(joining: Joining) -> None:
    await joining.publish(pooler_fee="0.06")
    error = await refusal(joining.join())
    assert (error.reason, error.metadata) == ("TERMS_CHANGED", {"version": "2"})
    assert (await joining.join(terms_version=2)).farmer.terms_version == 2


async def test_nobody_stakes_more_than_the_terms_say(joining: Joining) -> None:
    error = await refusal(joining.join(stake_percentage="0.3001"))
    assert (error.reason, error.metadata) == ("STAKE_NOT_AGREED", {"limit": "0.3"})
    assert (await joining.join(stake_percentage="0.3")).farmer.stake_percentage == "0.3"


async def test_fees_that_are_too_high_by_now_let_nobody_join(joining: Joining) -> None:
    joining.world.wallet.operator_fee = "0.26"
    try:
        assert (await refusal(joining.join())).reason == "FEE_TOO_HIGH"
    finally:
        joining.world.wallet.operator_fee = "0"


async def test_a_pooler_without_terms_has_nobody_joining(world: RegistryWorld) -> None:
    joining = Joining(world=world, pooler_id=(await world.pooler()).pooler_id)
    await joining.update(is_open_to_join=True)
    error = await refusal(joining.join())
    assert isinstance(error, NotFoundError)
    assert error.reason == "TERMS_NOT_FOUND"


async def test_a_pooler_that_there_is_not_is_not_found(joining: Joining) -> None:
    error = await refusal(joining.join(pooler_id=str(new_id())))
    assert (type(error), error.reason) == (NotFoundError, "POOLER_NOT_FOUND")


@pytest.fixture
async def limited(database: DatabaseAccess) -> AsyncIterator[Joining]:
    """Four may join within a day, two of an owner account."""
    async with open_registry_world(database, self_join_daily=4, self_join_owner_daily=2) as world:
        yield await opened(world)


async def test_so_many_of_an_owner_account_join_within_a_day(limited: Joining) -> None:
    owner = account()
    for _ in range(2):
        await limited.join(owner)
    error = await refusal(limited.join(owner))
    assert isinstance(error, ResourceExhaustedError)
    assert (error.reason, error.metadata) == ("SELF_JOIN_OWNER_LIMIT", {"limit": "2"})
    await limited.join()
    assert await limited.farmers() == 3


async def test_so_many_join_within_a_day_however_many_ask_at_once(limited: Joining) -> None:
    beside = await opened(limited.world)
    calls = [pooler.join(request_id=f"{n}") for n in range(4) for pooler in (limited, beside)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    assert len(failed) == 4
    error = await refusal(limited.join())
    assert isinstance(error, ResourceExhaustedError)
    assert (error.reason, error.metadata) == ("SELF_JOIN_LIMIT", {"limit": "4"})
    # What poolers register themselves is not counted, and not limited.
    await limited.world.farmer(limited.pooler_id)
    assert await limited.world.value("SELECT count(*) FROM registry.farmers") == 5


async def test_who_joined_a_day_ago_is_in_nobodys_way(limited: Joining) -> None:
    owner = account()
    for _ in range(2):
        await limited.join(owner)
    async with connect(limited.world.database.admin_dsn) as admin:
        await admin.execute(
            "UPDATE registry.farmers SET created_at = now() - interval '24 hours 1 second'"
        )
    assert (await limited.join(owner)).farmer.status == ACTIVE


async def test_those_who_have_joined_are_counted_by_owner_and_day(
    database: DatabaseAccess,
) -> None:
    one, other = account(), account()
    async with connect(database.admin_dsn) as admin, open_as(database, "registry", QUERIES) as own:
        pooler = PoolerId(new_id())
        await insert_row(
            admin,
            "registry.poolers",
            id=pooler,
            name="north",
            public_key=account(),
            max_farmers=10,
        )
        rows = (
            (one, True, "1 second"),
            (one, True, "23 hours 59 minutes"),
            (one, True, "24 hours 1 minute"),
            (one, False, "1 second"),
            (other, True, "1 second"),
        )
        for number, (owner, joined, ago) in enumerate(rows):
            await insert_row(
                admin,
                "registry.farmers",
                id=new_id(),
                pooler_id=pooler,
                request_id=str(number),
                digest=b"",
                owner_account=owner,
                joined_itself=joined,
            )
            await admin.execute(
                "UPDATE registry.farmers SET created_at = now() - $2::text::interval "
                "WHERE request_id = $1",
                str(number),
                ago,
            )
        store = Store(own)
        async with own.transaction() as session:
            await store.take_join_turn(session)
            assert await store.joined(session, one) == Joined(total=3, of_owner=2)
            assert await store.joined(session, other) == Joined(total=3, of_owner=1)
            assert await store.joined(session, "") == Joined(total=3, of_owner=0)
