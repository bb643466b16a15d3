"""What limits poolers and farmers, as registry asks for it: what is theirs, and nobody else's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from libs.common.grpc.standing import Standing
from libs.common.ids import new_id
from services.registry.store.store import QUERIES, Store
from tests.support.database import DatabaseAccess
from tests.support.pool_world import PoolWorld, open_tables_of
from tests.support.table_rows import insert_row


@dataclass(frozen=True, kw_only=True)
class Tables:
    """registry's store, and all rights besides; people in trouble stand beside who is asked for."""

    store: Store
    world: PoolWorld

    async def poolers(self, *ids: UUID) -> set[Standing]:
        """What limits these poolers."""
        return await self.store.standings_of_poolers(list(map(str, ids)))

    async def farmers(self, *ids: UUID) -> set[Standing]:
        """What limits these farmers."""
        return await self.store.standings_of_farmers(list(map(str, ids)))

    async def farmer(
        self, status: str = "active", *, is_suspended: bool = False, is_paused: bool = False
    ) -> UUID:
        """A farmer of a pooler of its own."""
        person = await self.world.farmer(
            await self.world.pooler(active=not is_suspended), status=status
        )
        if is_paused:
            await insert_row(
                self.world.connection,
                "wallet.pauses",
                id=new_id(),
                scope="wallet",
                target=person.wallet_id,
                reason="a test",
                paused_by="me",
            )
        return person.farmer_id


@pytest.fixture
async def registry(database: DatabaseAccess) -> AsyncIterator[Tables]:
    """A store by registry's own role."""
    async with open_tables_of(database, "registry", QUERIES) as (world, opened):
        tables = Tables(store=Store(opened), world=world)
        for status in ("active", "suspended", "leaving", "departed"):
            await tables.farmer(status, is_suspended=True, is_paused=True)
        yield tables


async def test_a_pooler_is_limited_while_it_is_suspended(registry: Tables) -> None:
    active, suspended = [await registry.world.pooler(active=one) for one in (True, False)]
    assert await registry.poolers() == set()
    assert await registry.poolers(new_id()) == set()
    assert await registry.poolers(active) == set()
    for asked in ([suspended], [active, suspended]):
        assert await registry.poolers(*asked) == {Standing.POOLER_SUSPENDED}


@pytest.mark.parametrize("name", ["standings_of_poolers", "standings_of_farmers"])
async def test_of_nobody_each_answer_is_no(registry: Tables, name: str) -> None:
    row = await registry.store.database.one(name, [])
    assert row is not None
    assert set(row.values()) == {False}


async def test_who_is_active_is_limited_by_nothing(registry: Tables) -> None:
    assert await registry.farmers() == set()
    assert await registry.farmers(new_id()) == set()
    assert await registry.farmers(await registry.farmer()) == set()


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("suspended", Standing.FARMER_SUSPENDED),
        ("leaving", Standing.FARMER_LEAVING),
        ("departed", Standing.FARMER_DEPARTED),
    ],
)
async def test_a_status_limits_a_farmer(registry: Tables, status: str, standing: Standing) -> None:
    limited, free = await registry.farmer(status), await registry.farmer()
    assert await registry.farmers(limited) == {standing}
    assert await registry.farmers(free, limited) == {standing}
    assert await registry.farmers(free) == set()


async def test_a_farmer_is_limited_by_its_pooler_and_by_a_pause(registry: Tables) -> None:
    suspended = await registry.farmer(is_suspended=True)
    paused, free = await registry.farmer(is_paused=True), await registry.farmer()
    assert await registry.farmers(suspended) == {Standing.POOLER_SUSPENDED}
    assert await registry.farmers(paused) == {Standing.SIGNING_PAUSED}
    assert await registry.farmers(free) == set()
    assert await registry.farmers(free, paused, suspended) == {
        Standing.POOLER_SUSPENDED,
        Standing.SIGNING_PAUSED,
    }


async def test_a_farmer_that_has_no_wallet_yet_is_limited_all_the_same(registry: Tables) -> None:
    farmer, pooler = new_id(), await registry.world.pooler(active=False)
    await insert_row(
        registry.world.connection,
        "registry.farmers",
        id=farmer,
        pooler_id=pooler,
        stake_percentage=0,
        request_id="a",
        digest=b"",
    )
    assert await registry.farmers(farmer) == {Standing.POOLER_SUSPENDED}
