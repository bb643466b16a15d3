"""The public list of poolers, over real tables: who is listed, and what is counted of whom."""

import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.ids import PoolerId, new_id
from services.harvest.domain.poolers import Figures, Openings, Window
from services.harvest.domain.reports import Blocks
from services.harvest.store.poolers import PoolerStore
from services.harvest.store.reports import QUERIES
from tests.support.database import Connection, DatabaseAccess
from tests.support.pool_world import Person, PoolWorld, open_tables_of
from tests.support.table_rows import insert_event, insert_row, store_backwards

DAY = 288
FIRST = 3 * DAY
AT = datetime(2026, 3, 1, tzinfo=UTC)
TABLES = ("plant.plantings", "work.works", "harvest.harvests")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the list reads, and all rights besides."""

    store: PoolerStore
    world: PoolWorld

    @property
    def connection(self) -> Connection:
        """The connection with all rights."""
        return self.world.connection

    async def listed(self, **changes: Any) -> PoolerId:
        """A pooler that is listed, unless something is changed."""
        pooler = PoolerId(await self.world.pooler())
        await self.publish(pooler, 1)
        for name, value in {"is_listed": True, **changes}.items():
            await self.connection.execute(
                f"UPDATE registry.poolers SET {name} = $2 WHERE id = $1",  # noqa: S608  (the test's own words)
                pooler,
                value,
            )
        return pooler

    async def publish(self, pooler: PoolerId, version: int, **values: Any) -> None:
        """A version of a pooler's terms."""
        given = {
            "stake_bps": 5000,
            "pooler_bps": 500,
            "miners_bps": 6000,
            "payout_threshold": 70,
            "payout_interval_seconds": 60,
            "harvest_blocks": 3,
            "text": "hello",
            "digest": bytes([version]) * 32,
            "published_by": "",
            "published_at": AT,
            **values,
        }
        await insert_row(
            self.connection, "registry.terms", pooler_id=pooler, version=version, **given
        )

    async def event(
        self, table: str, person: Person, pooler: PoolerId, block: int, **values: Any
    ) -> None:
        """An event; it is a failure when there is a reason."""
        await insert_event(
            self.connection,
            table,
            farmer=person.farmer_id,
            pooler=pooler,
            block=block,
            **values,
        )

    async def farmed(self, person: Person, pooler: PoolerId, *blocks: int, zeros: int = 4) -> None:
        """Blocks that somebody farmed, for a reward of the block's number."""
        for block in blocks:
            await self.event("plant.plantings", person, pooler, block, stake_amount=2 * block)
            await self.event("work.works", person, pooler, block, zeros=zeros)
            await self.event("harvest.harvests", person, pooler, block, reward_amount=block)

    async def of(self, pooler: PoolerId, *windows: Blocks) -> list[Figures]:
        """The figures of one pooler, in the order of the windows."""
        found = await self.store.figures([pooler], windows)
        return sorted(found, key=lambda one: one.window_number)


@pytest.fixture
async def tables(database: DatabaseAccess) -> AsyncIterator[Tables]:
    """The list's reads, by harvest's own role."""
    async with open_tables_of(database, "harvest", QUERIES) as (world, opened):
        yield Tables(store=PoolerStore(opened), world=world)


# Who is listed -----------------------------------------------------------------------------------


async def test_a_pooler_is_listed_with_its_room_and_its_newest_terms(tables: Tables) -> None:
    pooler = await tables.listed(
        name="north", max_farmers=20, current_farmers=7, is_open_to_join=True
    )
    await tables.publish(
        pooler,
        2,
        stake_bps=1,
        pooler_bps=2,
        miners_bps=3,
        payout_threshold=4,
        payout_interval_seconds=5,
        harvest_blocks=6,
        text="new",
        published_at=AT + timedelta(days=1),
    )
    # Another pooler's newer terms are not its own.
    other = await tables.listed(is_listed=False)
    await tables.publish(other, 9)
    (found,) = await tables.store.listed(after=None, limit=10)
    assert (found.pooler_id, found.name, found.room, found.is_open_to_join) == (
        pooler,
        "north",
        13,
        True,
    )
    assert dataclasses.astuple(found)[4:] == (
        *(2, 1, 2, 3, 4, 5, 6, "new"),
        bytes([2]) * 32,
        AT + timedelta(days=1),
    )


async def test_who_does_not_want_to_or_is_suspended_or_has_no_terms_is_not_listed(
    tables: Tables,
) -> None:
    await tables.listed(is_listed=False)
    await tables.listed(is_active=False)
    without_terms = PoolerId(await tables.world.pooler())
    await tables.connection.execute(
        "UPDATE registry.poolers SET is_listed = true WHERE id = $1", without_terms
    )
    assert await tables.store.listed(after=None, limit=10) == []
    open_one = await tables.listed()
    found = await tables.store.listed(after=None, limit=10)
    assert [(one.pooler_id, one.is_open_to_join) for one in found] == [(open_one, False)]


async def test_poolers_are_listed_by_their_ids_so_many_after_one(tables: Tables) -> None:
    poolers = sorted([await tables.listed() for _ in range(4)])
    await store_backwards(tables.connection, "registry.poolers", poolers)

    async def ids(after: PoolerId | None, limit: int) -> list[PoolerId]:
        return [one.pooler_id for one in await tables.store.listed(after=after, limit=limit)]

    assert await ids(None, 10) == poolers
    assert await ids(None, 3) == poolers[:3]
    assert await ids(poolers[1], 10) == poolers[2:]


# What they came to -------------------------------------------------------------------------------


async def test_figures_are_those_of_the_window_whatever_spans_it_is_made_of(
    tables: Tables,
) -> None:
    pooler = await tables.listed()
    person = await tables.world.farmer(pooler)
    # Before the window, at its first blocks, in hours and days of blocks, at its end, behind it.
    inside = (FIRST - 1, FIRST, FIRST + 11, FIRST + 12, FIRST + DAY, FIRST + 2 * DAY + 12)
    await tables.farmed(person, pooler, FIRST - 2, *inside, FIRST + 2 * DAY + 13)
    window = Blocks(first=FIRST - 1, last=FIRST + 2 * DAY + 12)
    (found,) = await tables.of(pooler, window)
    assert found == Figures(
        pooler_id=pooler,
        window_number=1,
        planted=6,
        not_planted=0,
        staked=2 * sum(inside),
        worked=6,
        not_worked=0,
        worked_blocks=6,
        farmers_by_zeros=[0, 0, 0, 0, 6],
        harvested=6,
        not_harvested=0,
        rewards=sum(inside),
    )


@pytest.mark.parametrize("first", [FIRST, FIRST + 12, FIRST + 5])
async def test_every_figure_is_counted_in_days_hours_and_single_blocks(
    tables: Tables, first: int
) -> None:
    pooler = await tables.listed()
    people = [await tables.world.farmer(pooler) for _ in range(4)]
    await tables.farmed(people[0], pooler, first, zeros=3)
    # No two of the figures are alike.
    for person in people[1:]:
        await tables.event("plant.plantings", person, pooler, first, reason="EXPIRED")
    for person, zeros in zip(people[1:], (1, 3, 5), strict=True):
        await tables.event("work.works", person, pooler, first + 1, zeros=zeros)
    for person in people[:2]:
        await tables.event("work.works", person, pooler, first + 2, reason="EXPIRED")
    for person in people:
        await tables.event("harvest.harvests", person, pooler, first + 1, reward_amount=10)
        await tables.event("harvest.harvests", person, pooler, first + 2, reason="EXPIRED")
        await tables.event("harvest.harvests", person, pooler, first + 3, reason="EXPIRED")
    length = 4 if first % 12 else 12 if first % DAY else DAY
    (found,) = await tables.of(pooler, Blocks(first=first, last=first + length - 1))
    assert (found.planted, found.not_planted, found.staked) == (1, 3, 2 * first)
    assert (found.worked, found.not_worked, found.worked_blocks) == (4, 2, 2)
    assert list(found.farmers_by_zeros) == [0, 1, 0, 2, 0, 1]
    assert (found.harvested, found.not_harvested, found.rewards) == (5, 8, 40 + first)


async def test_windows_and_poolers_are_apart(tables: Tables) -> None:
    one, other, quiet = [await tables.listed() for _ in range(3)]
    for pooler, zeros in ((one, 2), (other, 6)):
        person = await tables.world.farmer(pooler)
        await tables.farmed(person, pooler, FIRST, FIRST + 12, FIRST + 13, zeros=zeros)
    windows = [
        Blocks(first=FIRST, last=FIRST + 11),
        Blocks(first=FIRST, last=FIRST + 13),
        Blocks(first=FIRST + 500, last=FIRST + 1200),
    ]
    found = {
        (figures.pooler_id, figures.window_number): figures
        for figures in await tables.store.figures([one, quiet], windows)
    }
    assert found.keys() == {(pooler, number) for pooler in (one, quiet) for number in (1, 2, 3)}
    told = {
        key: (one.planted, one.worked, list(one.farmers_by_zeros), one.harvested)
        for key, one in found.items()
    }
    assert told[one, 1] == (1, 1, [0, 0, 1], 1)
    assert told[one, 2] == (3, 3, [0, 0, 3], 3)
    assert {told[key] == (0, 0, [], 0) for key in told if key[0] == quiet or key[1] == 3} == {True}
    assert dataclasses.replace(found[quiet, 3], window_number=1) == Figures(
        pooler_id=quiet,
        window_number=1,
        planted=0,
        not_planted=0,
        staked=0,
        worked=0,
        not_worked=0,
        worked_blocks=0,
        farmers_by_zeros=[],
        harvested=0,
        not_harvested=0,
        rewards=0,
    )


async def test_one_kind_of_events_is_told_without_the_others(tables: Tables) -> None:
    pooler = await tables.listed()
    person = await tables.world.farmer(pooler)
    for number, table in enumerate(TABLES):
        await tables.event(table, person, pooler, FIRST + number)
    windows = [Blocks(first=FIRST + number, last=FIRST + number) for number in range(3)]
    found = await tables.of(pooler, *windows)
    told = [(one.planted, one.worked, one.harvested) for one in found]
    assert told == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


async def test_without_a_block_there_is_nothing(tables: Tables) -> None:
    pooler = await tables.listed()
    assert await tables.of(pooler, Window.DAY.blocks(None)) == []
    assert await tables.store.figures([], [Blocks(first=0, last=5)]) == []


async def test_amounts_that_are_at_their_end_are_told_as_far_as_numbers_go(tables: Tables) -> None:
    pooler, most = await tables.listed(), 2**63 - 1
    for block in (FIRST, FIRST + 1):
        person = await tables.world.farmer(pooler)
        await tables.event("plant.plantings", person, pooler, block, stake_amount=most)
        await tables.event("harvest.harvests", person, pooler, block, reward_amount=most)
    (found,) = await tables.of(pooler, Blocks(first=FIRST, last=FIRST + 1))
    assert (found.staked, found.rewards) == (most, most)


# How long blocks last ----------------------------------------------------------------------------


async def test_openings_are_the_first_and_the_last_that_are_known(tables: Tables) -> None:
    for index in (FIRST - 1, FIRST + 2, FIRST + 7, FIRST + 10, FIRST + 11):
        await tables.world.head(current=index)
        await tables.connection.execute(
            "UPDATE chain.blocks SET opened_at = $2 WHERE index = $1",
            index,
            AT + timedelta(seconds=index),
        )
    windows = [
        Blocks(first=FIRST, last=FIRST + 9),
        Blocks(first=FIRST + 3, last=FIRST + 6),
        # One opening alone, and none.
        Blocks(first=FIRST + 8, last=FIRST + 9),
        Blocks(first=FIRST + 3, last=FIRST + 5),
        Blocks(first=0, last=-1),
    ]
    found = sorted(await tables.store.openings(windows), key=lambda one: one.number)
    assert [(one.number, one.first_index, one.last_index) for one in found] == [
        (1, FIRST + 2, FIRST + 10),
        (2, FIRST + 7, FIRST + 7),
        (3, FIRST + 10, FIRST + 10),
    ]
    assert found[0] == Openings(
        number=1,
        first_index=FIRST + 2,
        first_opened_at=AT + timedelta(seconds=FIRST + 2),
        last_index=FIRST + 10,
        last_opened_at=AT + timedelta(seconds=FIRST + 10),
    )


async def test_nobodys_id_has_figures_of_nothing(tables: Tables) -> None:
    nobody = PoolerId(new_id())
    (found,) = await tables.of(nobody, Blocks(first=0, last=0))
    assert (found.planted, found.rewards, found.rewards_per_farmer_block) == (0, 0, None)
