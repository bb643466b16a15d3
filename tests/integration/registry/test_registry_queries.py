"""registry's queries over real tables: what each takes, what it leaves, and in which order."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, PoolerId, WalletId, new_id
from services.registry.domain.model import Farmer, NewFarmer, NewPooler
from services.registry.domain.status import FarmerStatus
from services.registry.store.store import QUERIES, Store
from tests.support.database import DatabaseAccess
from tests.support.pool_world import Person, PoolWorld, open_tables_of
from tests.support.table_rows import store_backwards

ALL = 99


@dataclass(frozen=True, kw_only=True)
class Tables:
    """registry's store, and all rights besides."""

    store: Store
    database: Database
    world: PoolWorld

    async def pooler(self) -> PoolerId:
        """A pooler of its own."""
        return PoolerId(await self.world.pooler())

    async def insert_pooler(self, public_key: str) -> bool:
        """Whether a pooler with this key could be added."""
        new = NewPooler(name="north", public_key=public_key, api_endpoint="", max_farmers=5)
        async with self.database.transaction() as session:
            return await self.store.insert_pooler(session, PoolerId(new_id()), new)

    async def insert_farmer(
        self, pooler: PoolerId, *, request_id: str = "", stake_bps: int = 1000
    ) -> FarmerId:
        """A farmer that waits for its wallet."""
        farmer_id = FarmerId(new_id())
        new = NewFarmer(
            pooler_id=pooler,
            stake_bps=stake_bps,
            payout_wallet_address="GOUT",
            metadata='{"a": 1}',
            request_id=request_id or str(farmer_id),
            digest=b"d",
        )
        async with self.database.transaction() as session:
            await self.store.insert_farmer(session, farmer_id, new)
        return farmer_id

    async def farmer(self, farmer_id: UUID) -> Farmer:
        """A farmer that exists."""
        found = await self.store.farmer(FarmerId(farmer_id))
        assert found is not None
        return found

    async def earned(self, person: Person, balance: int) -> None:
        """A farmer's earnings."""
        await self.world.connection.execute(
            "INSERT INTO harvest.balances VALUES ($1, $2, $2, 1, now())", person.farmer_id, balance
        )


@pytest.fixture
async def registry(database: DatabaseAccess) -> AsyncIterator[Tables]:
    """A store by registry's own role."""
    async with open_tables_of(database, "registry", QUERIES) as (world, opened):
        yield Tables(store=Store(opened), database=opened, world=world)


# Poolers ---------------------------------------------------------------------------------------


async def test_a_public_key_is_one_poolers(registry: Tables) -> None:
    assert await registry.insert_pooler("G1")
    assert not await registry.insert_pooler("G1")
    assert await registry.insert_pooler("G2")


async def test_a_pooler_is_found_by_its_id(registry: Tables) -> None:
    ids = [await registry.pooler() for _ in range(2)]
    for pooler_id in ids:
        found = await registry.store.pooler(pooler_id)
        assert found is not None
        assert found.pooler_id == pooler_id
        async with registry.database.transaction() as session:
            assert await registry.store.lock_pooler(session, pooler_id) == found
    unknown = PoolerId(new_id())
    assert await registry.store.pooler(unknown) is None
    async with registry.database.transaction() as session:
        assert await registry.store.lock_pooler(session, unknown) is None


async def test_poolers_are_listed_by_id_a_page_at_a_time(registry: Tables) -> None:
    ids = sorted([await registry.pooler() for _ in range(3)])
    await store_backwards(registry.world.connection, "registry.poolers", ids)

    async def listed(after: UUID | None, limit: int) -> list[UUID]:
        found = await registry.store.list_poolers(after=after, limit=limit)
        return [one.pooler_id for one in found]

    assert await listed(None, ALL) == ids
    assert await listed(None, 2) == ids[:2]
    assert await listed(ids[0], ALL) == ids[1:]


@pytest.mark.parametrize(
    "change", [{}, {"name": "south"}, {"api_endpoint": "https://south"}, {"max_farmers": 7}]
)
async def test_what_is_given_changes_in_one_pooler(
    registry: Tables, change: dict[str, str | int]
) -> None:
    ids = [await registry.pooler() for _ in range(2)]
    before = [await registry.store.pooler(one) for one in ids]
    values = {"name": None, "api_endpoint": None, "max_farmers": None, **change}
    async with registry.database.transaction() as session:
        await registry.store.update_pooler(session, ids[1], **values)  # type: ignore[arg-type]
    assert before[1] is not None
    after = [await registry.store.pooler(one) for one in ids]
    assert after == [before[0], replace(before[1], **change)]  # type: ignore[arg-type]


async def test_one_pooler_is_suspended(registry: Tables) -> None:
    ids = [await registry.pooler() for _ in range(2)]
    assert await registry.store.set_pooler_active(ids[0], active=False)
    assert not await registry.store.set_pooler_active(PoolerId(new_id()), active=False)
    found = await registry.store.list_poolers(after=None, limit=ALL)
    assert {one.pooler_id: one.is_active for one in found} == {ids[0]: False, ids[1]: True}


async def test_a_heartbeat_is_one_poolers(registry: Tables) -> None:
    ids = [await registry.pooler() for _ in range(2)]
    moment = await registry.store.heartbeat(ids[0])
    assert moment is not None
    assert await registry.store.heartbeat(PoolerId(new_id())) is None
    found = await registry.store.list_poolers(after=None, limit=ALL)
    assert {one.pooler_id: one.last_seen for one in found} == {ids[0]: moment, ids[1]: None}


async def test_who_was_silent_for_long_is_gone_once(registry: Tables) -> None:
    silent, gone, alive, new = [await registry.pooler() for _ in range(4)]
    for pooler, seconds in ((silent, 61), (gone, 99), (alive, 59)):
        await registry.world.connection.execute(
            "UPDATE registry.poolers SET last_seen = now() - make_interval(secs => $2) "
            "WHERE id = $1",
            pooler,
            seconds,
        )
    await registry.world.connection.execute(
        "UPDATE registry.poolers SET gone_since = '2026-01-01Z' WHERE id = $1", gone
    )
    assert await registry.database.execute("mark_gone", 60.0) == 1
    assert await registry.database.execute("mark_gone", 60.0) == 0
    rows = await registry.world.connection.fetch("SELECT id, gone_since FROM registry.poolers")
    told = {row["id"]: row["gone_since"] for row in rows}
    assert {one for one, moment in told.items() if moment is not None} == {silent, gone}
    assert told[gone] < told[silent]
    assert told[alive] is told[new] is None


async def test_who_was_seen_just_so_long_ago_is_not_gone(registry: Tables) -> None:
    pooler = await registry.pooler()
    async with registry.database.transaction() as session:
        await session.one("heartbeat", pooler)
        assert await session.execute("mark_gone", 0.0) == 0


# Farmers ---------------------------------------------------------------------------------------


async def test_a_new_farmer_counts_for_its_pooler(registry: Tables) -> None:
    pooler, other = await registry.pooler(), await registry.pooler()
    for _ in range(2):
        await registry.insert_farmer(pooler)
    found = await registry.store.list_poolers(after=None, limit=ALL)
    assert {one.pooler_id: one.current_farmers for one in found} == {pooler: 2, other: 0}


async def test_a_farmer_is_told_with_its_account_and_its_earnings(registry: Tables) -> None:
    pooler = await registry.pooler()
    rich = await registry.world.farmer(pooler, stake="1", balance=5)
    poor = await registry.world.farmer(pooler, funded=False)
    await registry.earned(rich, 70)
    await registry.earned(poor, 50)
    new = await registry.insert_farmer(pooler, stake_bps=2500)
    expected = {
        rich.farmer_id: (rich.address, FarmerStatus.ACTIVE, 10_000, 70, True),
        poor.farmer_id: (poor.address, FarmerStatus.ACTIVE, 2500, 50, False),
        new: ("", FarmerStatus.PROVISIONING, 2500, 0, False),
    }
    found = [await registry.farmer(one) for one in expected]
    told = {
        one.farmer_id: (
            one.custodial_wallet,
            one.status,
            one.stake_bps,
            one.current_balance,
            one.is_funded,
        )
        for one in found
    }
    assert told == expected
    listed = await registry.store.list_farmers(pooler_id=None, after=None, limit=ALL)
    assert listed == sorted(found, key=lambda one: one.farmer_id)
    # Nobody has an account, or has earned anything, who is not asked for.
    assert await registry.store.farmer(FarmerId(new_id())) is None


async def test_a_farmer_without_account_and_earnings_is_told(registry: Tables) -> None:
    """Also while nobody else has any."""
    new = await registry.insert_farmer(await registry.pooler())
    found = await registry.farmer(new)
    assert (found.payout_wallet_address, found.metadata, found.digest) == (
        "GOUT",
        '{"a": 1}',
        b"d",
    )
    assert await registry.store.list_farmers(pooler_id=None, after=None, limit=ALL) == [found]


async def test_farmers_are_listed_by_pooler_and_id_a_page_at_a_time(registry: Tables) -> None:
    pooler, other = await registry.pooler(), await registry.pooler()
    ids = sorted([await registry.insert_farmer(pooler) for _ in range(3)])
    strange = await registry.insert_farmer(other)
    everybody = sorted([*ids, strange])
    await store_backwards(registry.world.connection, "registry.farmers", everybody)

    async def listed(
        owner: PoolerId | None = None, after: UUID | None = None, limit: int = ALL
    ) -> list[UUID]:
        found = await registry.store.list_farmers(pooler_id=owner, after=after, limit=limit)
        return [one.farmer_id for one in found]

    assert await listed() == everybody
    assert await listed(pooler) == ids
    assert await listed(other) == [strange]
    assert await listed(after=everybody[1]) == everybody[2:]
    assert await listed(pooler, after=ids[0]) == ids[1:]
    assert await listed(limit=2) == everybody[:2]


async def test_a_request_id_names_a_farmer_of_its_pooler(registry: Tables) -> None:
    pooler, other = await registry.pooler(), await registry.pooler()
    asked = [(pooler, "a"), (pooler, "b"), (other, "a")]
    made = [await registry.insert_farmer(owner, request_id=name) for owner, name in asked]
    async with registry.database.session() as session:
        found = [
            await registry.store.farmer_of_request(session, owner, name) for owner, name in asked
        ]
        assert found == made
        assert await registry.store.farmer_of_request(session, other, "b") is None


async def test_who_waits_long_for_a_wallet_is_told_by_id(registry: Tables) -> None:
    pooler = await registry.pooler()
    ids = sorted([await registry.insert_farmer(pooler) for _ in range(4)])
    fresh, done = await registry.insert_farmer(pooler), await registry.world.farmer(pooler)
    age = "UPDATE registry.farmers SET created_at = now() - make_interval(secs => $2) WHERE id = $1"
    # The last one was made before the clock was set back.
    for farmer, seconds in zip(
        [*ids, fresh, done.farmer_id], (90, 90, 90, -90, 30, 90), strict=True
    ):
        await registry.world.connection.execute(age, farmer, seconds)
    await store_backwards(registry.world.connection, "registry.farmers", ids)

    async def waiting(after: FarmerId | None = None, limit: int = ALL) -> list[FarmerId]:
        found = await registry.store.provisioning(60, after=after, limit=limit)
        assert {owner for _, owner in found} == {pooler}
        return [farmer for farmer, _ in found]

    assert await waiting() == ids
    assert await waiting(after=ids[0]) == ids[1:]
    assert await waiting(limit=2) == ids[:2]


async def test_who_came_at_this_very_moment_does_not_wait_yet(registry: Tables) -> None:
    pooler, farmer = await registry.pooler(), FarmerId(new_id())
    async with registry.database.transaction() as session:
        arguments = (farmer, pooler, "", 0, "{}", "a", b"", "", 0, "", "", False)
        await session.execute("insert_farmer", *arguments)
        assert await session.many("provisioning", 0.0, None, ALL) == []


# Wallets and statuses --------------------------------------------------------------------------


async def test_one_farmer_that_waits_is_given_a_wallet(registry: Tables) -> None:
    pooler = await registry.pooler()
    ids = [await registry.insert_farmer(pooler) for _ in range(2)]
    owned = await registry.world.farmer(pooler)

    async def activate(farmer: UUID) -> None:
        await registry.store.activate_farmer(
            FarmerId(farmer),
            WalletId(owned.wallet_id),
            "GNEW",
            FarmerStatus.SUSPENDED,
            [FarmerStatus.PROVISIONING],
        )

    await activate(owned.farmer_id)
    await activate(ids[0])
    found = [await registry.farmer(one) for one in (*ids, owned.farmer_id)]
    assert [(one.custodial_wallet, one.status) for one in found] == [
        ("GNEW", FarmerStatus.SUSPENDED),
        ("", FarmerStatus.PROVISIONING),
        (owned.address, FarmerStatus.ACTIVE),
    ]


async def test_a_status_changes_where_it_may(registry: Tables) -> None:
    pooler = await registry.pooler()
    people = [await registry.world.farmer(pooler) for _ in range(2)]
    one, other = (FarmerId(person.farmer_id) for person in people)
    active, suspended = [FarmerStatus.ACTIVE], [FarmerStatus.SUSPENDED]
    assert not await registry.store.set_farmer_status(one, FarmerStatus.SUSPENDED, suspended)
    assert (await registry.farmer(one)).status is FarmerStatus.ACTIVE
    assert await registry.store.set_farmer_status(one, FarmerStatus.SUSPENDED, active)
    assert (await registry.farmer(one)).status is FarmerStatus.SUSPENDED
    assert (await registry.farmer(other)).status is FarmerStatus.ACTIVE


@pytest.mark.parametrize(
    "change", [{}, {"stake_bps": 9999}, {"metadata": '{"b": 2}'}, {"payout_wallet_address": "GX"}]
)
async def test_what_is_given_changes_in_one_farmer(
    registry: Tables, change: dict[str, str | int]
) -> None:
    pooler = await registry.pooler()
    ids = [await registry.insert_farmer(pooler) for _ in range(2)]
    before = [await registry.farmer(one) for one in ids]
    values = {"stake_bps": None, "metadata": None, "payout_wallet_address": None, **change}
    async with registry.database.transaction() as session:
        await registry.store.update_farmer(session, ids[1], **values)  # type: ignore[arg-type]
    after = [await registry.farmer(one) for one in ids]
    assert after == [before[0], replace(before[1], **change)]  # type: ignore[arg-type]


# Requests and owners ---------------------------------------------------------------------------


async def test_a_request_is_known_by_its_id_and_its_method(registry: Tables) -> None:
    asked = [("a", "Suspend"), ("a", "Resume"), ("b", "Suspend")]
    subjects = [new_id() for _ in asked]
    async with registry.database.transaction() as session:
        for key, subject in zip(asked, subjects, strict=True):
            digest = subject.bytes
            assert await registry.store.insert_request(session, *key, digest, subject)
            assert not await registry.store.insert_request(session, *key, digest, new_id())
        for key, subject in zip(asked, subjects, strict=True):
            assert await registry.store.request(session, *key) == (subject.bytes, subject)
        assert await registry.store.request(session, "b", "Resume") is None


async def test_owners_of_farmers_are_told_once(registry: Tables) -> None:
    pooler, other = await registry.pooler(), await registry.pooler()
    own = [await registry.insert_farmer(pooler) for _ in range(2)]
    strange = await registry.insert_farmer(other)
    for asked, owners in (
        (own, {pooler}),
        ([strange], {other}),
        ([strange, *own], {pooler, other}),
    ):
        assert await registry.store.owners_of_farmers(list(map(str, asked))) == {
            str(one) for one in owners
        }
    assert await registry.store.owners_of_farmers([str(new_id())]) == {""}
    assert len(await registry.database.many("owners_of_farmers", own)) == 1


async def test_farmers_are_listed_by_the_owner_account_that_speaks_for_them_now(
    registry: Tables,
) -> None:
    pooler, other = await registry.pooler(), await registry.pooler()
    first, second, theirs, nobodys = [
        await registry.world.farmer(whose) for whose in (pooler, other, pooler, pooler)
    ]
    for person in (first, second):
        await registry.world.owned(person, "GA")
    await registry.world.owned(theirs, "GB")
    await registry.world.owned(nobodys, "GA")
    await registry.world.owned(nobodys, "")

    async def listed(account: str, owner: PoolerId | None = None, limit: int = ALL) -> list[UUID]:
        found = await registry.store.list_farmers(
            pooler_id=owner, owner_account=account, after=None, limit=limit
        )
        return [one.farmer_id for one in found]

    both = sorted([first.farmer_id, second.farmer_id])
    assert await listed("GA") == both
    assert await listed("GA", limit=1) == both[:1]
    assert await listed("GA", other) == [second.farmer_id]
    assert await listed("GB") == [theirs.farmer_id]
    assert await listed("GC") == []
    # It speaks for them no more once another account does.
    await registry.world.owned(first, "GB")
    assert await listed("GA") == [second.farmer_id]
    assert await listed("GB") == sorted([first.farmer_id, theirs.farmer_id])


async def test_whose_farmers_these_are_by_their_owner_accounts(registry: Tables) -> None:
    pooler = await registry.pooler()
    first, second, nobodys = [await registry.world.farmer(pooler) for _ in range(3)]
    await registry.world.owned(first, "GA")
    await registry.world.owned(second, "GB")

    async def accounts(*ids: UUID) -> set[str]:
        return await registry.store.accounts_of_farmers(list(map(str, ids)))

    assert await accounts(first.farmer_id) == {"GA"}
    assert await accounts(first.farmer_id, second.farmer_id) == {"GA", "GB"}
    assert await accounts(nobodys.farmer_id) == {""}
    assert await accounts(first.farmer_id, new_id()) == {"GA", ""}
