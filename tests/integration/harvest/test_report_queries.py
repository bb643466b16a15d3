"""What reports read, over real tables: what each query takes, what it leaves, in which order."""

import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.db.queries import load_queries
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.common.paging import MAX_INDEX
from libs.common.spans import Span
from services.harvest.domain.poolers import Figures, ListedPooler, Openings
from services.harvest.domain.reports import (
    Began,
    BlockReport,
    Blocks,
    Earnings,
    FarmerSuccess,
    People,
    ReportedFarmer,
    Success,
)
from services.harvest.store.reports import QUERIES, ReportStore, Whose
from tests.support.database import Connection, DatabaseAccess, connect, open_as
from tests.support.pool_world import Person, PoolWorld, open_tables_of
from tests.support.table_rows import insert_event, insert_row

BLOCK = 700
HOUR = datetime(2026, 3, 1, 5, tzinfo=UTC)
DAY = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
MAX_I64 = 2**63 - 1
ROWS = {
    "pool_began": Began,
    "pooler_began": Began,
    "farmer_began": Began,
    "pool_earnings": Earnings,
    "pooler_earnings": Earnings,
    "farmer_earnings": Earnings,
    "people": People,
    "success": Success,
    "farmer_success": FarmerSuccess,
    "farmer_by_id": ReportedFarmer,
    "farmer_by_address": ReportedFarmer,
    "pool_blocks": BlockReport,
    "pooler_blocks": BlockReport,
    "listed_poolers": ListedPooler,
    "pooler_figures": Figures,
    "known_openings": Openings,
}


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What reports read, and all rights besides."""

    store: ReportStore
    world: PoolWorld
    one: PoolerId
    other: PoolerId

    @property
    def connection(self) -> Connection:
        """The connection with all rights."""
        return self.world.connection

    async def person(self, pooler: PoolerId | None = None, *, status: str = "active") -> Person:
        """A farmer, of the first pooler unless another one is named."""
        return await self.world.farmer(pooler or self.one, status=status)

    async def event(
        self,
        table: str,
        person: Person,
        *,
        pooler: PoolerId | None = None,
        block: int = BLOCK,
        reason: str = "",
        **values: object,
    ) -> None:
        """An event; it is a failure when there is a reason."""
        await insert_event(
            self.connection,
            table,
            farmer=person.farmer_id,
            pooler=pooler or self.one,
            block=block,
            reason=reason,
            **values,
        )

    async def paid(
        self, person: Person, at: datetime, *, block: int, pooler: PoolerId | None = None
    ) -> None:
        """A harvest that paid as many stroops as its block has a number."""
        await self.event(
            "harvest.harvests",
            person,
            pooler=pooler,
            block=block,
            harvested_at=at,
            reward_amount=block,
            stake_returned=10 * block,
        )


@pytest.fixture
async def tables(database: DatabaseAccess) -> AsyncIterator[Tables]:
    """A store by harvest's own role, and two poolers."""
    async with open_tables_of(database, "harvest", QUERIES) as (world, opened):
        yield Tables(
            store=ReportStore(opened),
            world=world,
            one=PoolerId(await world.pooler()),
            other=PoolerId(await world.pooler()),
        )


async def test_every_query_fits_the_schema_and_its_dataclass(database: DatabaseAccess) -> None:
    queries = load_queries(QUERIES)
    assert queries.keys() - ROWS.keys() == {"farmers_by_zeros"}
    async with connect(database.dsn("harvest")) as own:
        await own.execute("SET search_path = pg_catalog")
        for name, query in queries.items():
            statement = await own.prepare(query.sql)
            columns = [attribute.name for attribute in statement.get_attributes()]
            if name in ROWS:
                fields = [field.name for field in dataclasses.fields(ROWS[name])]
                assert sorted(columns) == sorted(fields), name


# Beginnings --------------------------------------------------------------------------------------


async def test_the_pool_began_with_its_first_pooler(tables: Tables) -> None:
    created = {
        row["id"]: row["created_at"]
        for row in await tables.connection.fetch("SELECT id, created_at FROM registry.poolers")
    }
    pool = await tables.store.began(Whose())
    assert pool is not None
    assert pool.registered_at == min(created.values())
    assert pool.now > max(created.values())
    later = await tables.store.began(Whose(pooler_id=tables.other))
    assert later is not None
    assert later.registered_at == created[tables.other]
    person = await tables.person()
    farmer = await tables.store.began(Whose(farmer_id=FarmerId(person.farmer_id)))
    assert farmer is not None
    assert farmer.registered_at == await tables.connection.fetchval(
        "SELECT created_at FROM registry.farmers"
    )
    assert farmer.now > farmer.registered_at
    for nobody in (Whose(pooler_id=PoolerId(new_id())), Whose(farmer_id=FarmerId(new_id()))):
        assert await tables.store.began(nobody) is None


async def test_a_pool_without_poolers_has_not_begun(database: DatabaseAccess) -> None:
    async with open_as(database, "harvest", QUERIES, pool_size=1) as opened:
        began = await ReportStore(opened).began(Whose())
    assert began is not None
    assert began.registered_at is None


# Earnings ----------------------------------------------------------------------------------------


def told(found: list[Earnings]) -> list[tuple[datetime, int, int]]:
    """Beginnings with rewards and harvests; stakes are ten times the rewards."""
    assert all(one.stake_returned == 10 * one.rewards for one in found)
    return [(one.starts_at, one.rewards, one.harvests) for one in found]


async def test_earnings_are_those_of_the_spans_and_of_whom_they_are_asked(tables: Tables) -> None:
    mine, ours, theirs = [
        await tables.person(pooler) for pooler in (tables.one, tables.one, tables.other)
    ]
    await tables.paid(mine, HOUR, block=1)
    await tables.paid(mine, HOUR + timedelta(hours=1) - TICK, block=2)
    await tables.paid(mine, HOUR + timedelta(hours=1), block=4)
    await tables.paid(ours, HOUR - TICK, block=8)
    await tables.paid(theirs, HOUR, block=16, pooler=tables.other)
    await tables.paid(mine, DAY - TICK, block=32)
    await tables.event("harvest.harvests", mine, block=64, reason="EXPIRED", harvested_at=HOUR)
    hours = [HOUR - timedelta(hours=1), HOUR + timedelta(hours=1), HOUR]
    newest = sorted(hours, reverse=True)
    whole = await tables.store.earnings(Whose(), Span.HOUR, hours)
    assert told(whole) == [(newest[0], 4, 1), (newest[1], 19, 3), (newest[2], 8, 1)]
    one = await tables.store.earnings(Whose(pooler_id=tables.one), Span.HOUR, hours)
    assert told(one) == [(newest[0], 4, 1), (newest[1], 3, 2), (newest[2], 8, 1)]
    whose = Whose(farmer_id=FarmerId(mine.farmer_id))
    assert told(await tables.store.earnings(whose, Span.HOUR, hours)) == [
        (newest[0], 4, 1),
        (newest[1], 3, 2),
        (newest[2], 0, 0),
    ]
    yesterday, month = DAY - timedelta(days=1), datetime(2026, 2, 1, tzinfo=UTC)
    days = [yesterday, DAY]
    assert told(await tables.store.earnings(whose, Span.DAY, days)) == [
        (DAY, 7, 3),
        (yesterday, 32, 1),
    ]
    assert told(await tables.store.earnings(Whose(), Span.DAY, days)) == [
        (DAY, 31, 5),
        (yesterday, 32, 1),
    ]
    months = [month, DAY]
    mine_by_month = [(DAY, 7, 3), (month, 32, 1)]
    assert told(await tables.store.earnings(whose, Span.MONTH, months)) == mine_by_month
    assert await tables.store.earnings(Whose(), Span.DAY, []) == []


async def test_what_was_ever_earned_is_the_poolers_or_the_pools(tables: Tables) -> None:
    mine, theirs = [await tables.person(pooler) for pooler in (tables.one, tables.other)]
    await tables.paid(mine, DAY, block=1)
    await tables.paid(mine, DAY + timedelta(days=400), block=2)
    await tables.paid(theirs, DAY, block=4, pooler=tables.other)
    found = await tables.store.ever(tables.one)
    assert (found.rewards, found.harvests) == (3, 2)
    found = await tables.store.ever(None)
    assert (found.rewards, found.harvests, found.stake_returned) == (7, 3, 70)
    nothing = await tables.store.ever(PoolerId(new_id()))
    assert (nothing.rewards, nothing.harvests) == (0, 0)


async def test_earnings_of_many_poolers_end_where_numbers_do(tables: Tables) -> None:
    for pooler in (tables.one, tables.other):
        person = await tables.person(pooler)
        await tables.event(
            "harvest.harvests",
            person,
            pooler=pooler,
            harvested_at=HOUR,
            reward_amount=MAX_I64,
            stake_returned=MAX_I64,
            fee_charged=MAX_I64,
        )
    (found,) = await tables.store.earnings(Whose(), Span.HOUR, [HOUR])
    assert (found.rewards, found.stake_returned) == (MAX_I64, MAX_I64)
    (block,) = await tables.store.blocks(None, before=MAX_INDEX, limit=9)
    assert (block.rewards, block.stake_returned, block.fees) == (MAX_I64, MAX_I64, MAX_I64)


# People ------------------------------------------------------------------------------------------


async def test_people_are_counted_for_the_pool_and_for_a_pooler(tables: Tables) -> None:
    idle = PoolerId(await tables.world.pooler(active=False))
    for pooler, status in (
        (tables.one, "active"),
        (tables.one, "active"),
        (tables.one, "suspended"),
        (tables.other, "leaving"),
        (idle, "active"),
    ):
        await tables.person(pooler, status=status)
    count = tables.store.people
    assert await count(None) == People(active_poolers=2, active_farmers=3, farmers=5)
    assert await count(tables.one) == People(active_poolers=1, active_farmers=2, farmers=3)
    assert await count(tables.other) == People(active_poolers=1, active_farmers=0, farmers=1)
    assert await count(idle) == People(active_poolers=0, active_farmers=1, farmers=1)


async def test_a_farmer_is_found_by_its_id_and_by_its_address(tables: Tables) -> None:
    person, poor = [await tables.person() for _ in range(2)]
    await insert_row(
        tables.connection,
        "harvest.balances",
        farmer_id=person.farmer_id,
        current_balance=3,
        total_rewards=7,
        harvests=2,
        updated_at=HOUR,
    )
    found = await tables.store.farmer(farmer_id=FarmerId(person.farmer_id))
    assert found is not None
    assert (found.farmer_id, found.pooler_id) == (person.farmer_id, tables.one)
    assert (found.address, found.rewards, found.harvests) == (person.address, 7, 2)
    assert found.now > found.registered_at
    by_address = await tables.store.farmer(address=person.address)
    assert by_address is not None
    assert dataclasses.replace(by_address, now=found.now) == found
    nothing = await tables.store.farmer(address=poor.address)
    assert nothing is not None
    assert (nothing.farmer_id, nothing.rewards, nothing.harvests) == (poor.farmer_id, 0, 0)
    assert await tables.store.farmer(address="") is None
    assert await tables.store.farmer(farmer_id=FarmerId(new_id())) is None


async def test_a_farmer_without_a_wallet_has_no_address(tables: Tables) -> None:
    farmer = new_id()
    await insert_row(
        tables.connection,
        "registry.farmers",
        id=farmer,
        pooler_id=tables.one,
        request_id="new",
        digest=b"",
    )
    found = await tables.store.farmer(farmer_id=FarmerId(farmer))
    assert found is not None
    assert found.address == ""


# How often it succeeded --------------------------------------------------------------------------


async def test_success_is_counted_in_the_blocks_and_for_whom_it_is_asked(tables: Tables) -> None:
    mine, again, theirs = [
        await tables.person(pooler) for pooler in (tables.one, tables.one, tables.other)
    ]
    for table in ("plant.plantings", "work.works", "harvest.harvests"):
        # One block before and one after those that are asked for.
        for block in range(BLOCK - 1, BLOCK + 3):
            await tables.event(table, mine, block=block)
        await tables.event(table, again, block=BLOCK, reason="EXPIRED")
        await tables.event(table, theirs, pooler=tables.other, block=BLOCK + 1)
    # No two of the six figures are alike.
    await tables.event("work.works", again, block=BLOCK + 1)
    await tables.event("work.works", theirs, pooler=tables.other, block=BLOCK, reason="REFUSED")
    for block in (BLOCK, BLOCK + 1):
        person = await tables.person()
        await tables.event("harvest.harvests", person, block=block)
        await tables.event("harvest.harvests", await tables.person(), block=block, reason="REFUSED")
    blocks = Blocks(first=BLOCK, last=BLOCK + 1)
    assert await tables.store.success(None, blocks) == Success(
        planted=3, not_planted=1, worked=4, not_worked=2, harvested=5, not_harvested=3
    )
    assert await tables.store.success(tables.one, blocks) == Success(
        planted=2, not_planted=1, worked=3, not_worked=1, harvested=4, not_harvested=3
    )
    assert await tables.store.success(tables.other, blocks) == Success(
        planted=1, not_planted=0, worked=1, not_worked=1, harvested=1, not_harvested=0
    )
    nothing = Success(
        planted=0, not_planted=0, worked=0, not_worked=0, harvested=0, not_harvested=0
    )
    assert await tables.store.success(None, Blocks(first=0, last=-1)) == nothing


async def test_a_farmers_success_is_its_own_once_for_each_block(tables: Tables) -> None:
    person, other = [await tables.person() for _ in range(2)]
    for table in ("plant.plantings", "work.works", "harvest.harvests"):
        for block in range(BLOCK - 1, BLOCK + 4):
            await tables.event(table, person, block=block)
        # It failed before it succeeded.
        await tables.event(table, person, block=BLOCK, reason="EXPIRED")
        await tables.event(table, person, block=BLOCK + 5, reason="EXPIRED")
        await tables.event(table, person, block=BLOCK + 5, reason="EXPIRED")
        await tables.event(table, other, block=BLOCK + 4)
    await tables.event("work.works", person, block=BLOCK + 6, reason="EXPIRED", zeros=9)
    for block in (BLOCK + 6, BLOCK + 7):
        await tables.event("harvest.harvests", person, block=block, reason="EXPIRED")
    await tables.event("harvest.harvests", other, block=BLOCK + 8)
    await tables.event("harvest.harvests", person, block=BLOCK + 4)
    await tables.event("work.works", person, block=BLOCK + 1, zeros=7)
    await tables.event("work.works", person, block=BLOCK + 9, zeros=12)
    await tables.event("work.works", person, block=BLOCK - 1, zeros=13)
    asked = (FarmerId(person.farmer_id), Blocks(first=BLOCK, last=BLOCK + 8))
    assert await tables.store.farmer_success(*asked) == FarmerSuccess(
        planted=4,
        not_planted=1,
        worked=4,
        not_worked=2,
        harvested=5,
        not_harvested=3,
        best_zeros=7,
    )
    nobody = await tables.store.farmer_success(FarmerId(new_id()), asked[1])
    assert (nobody.planted, nobody.not_planted, nobody.best_zeros) == (0, 0, None)


async def test_a_farmers_success_is_read_from_the_partitions_of_its_blocks_only(
    tables: Tables,
) -> None:
    person = await tables.person()
    for table in ("plant.plantings", "work.works", "harvest.harvests"):
        for block in (BLOCK, BLOCK + 20_000):
            await tables.event(table, person, block=block)
    query, low = load_queries(QUERIES)["farmer_success"].sql, BLOCK // 10_000 * 10_000
    async with tables.connection.transaction():
        await tables.connection.fetch(query, BLOCK, BLOCK, person.farmer_id)
        locked = await tables.connection.fetch(
            "SELECT c.relname FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation "
            "WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND c.relispartition"
        )
    names = {f"{table}_{low}" for table in ("plantings", "works", "harvests")}
    assert {row["relname"] for row in locked} == names


# Blocks ------------------------------------------------------------------------------------------


async def seen(tables: Tables, block: int) -> None:
    """What wallet has seen of the whole chain's block."""
    await insert_row(
        tables.connection,
        "chain.blocks",
        index=block,
        opened_ledger=1,
        opened_at=HOUR,
        closes_at=HOUR + timedelta(seconds=300),
        entropy=bytes(32),
        min_gap=1,
        max_gap=2,
        min_zeros=3,
        max_zeros=4,
        min_stake=5,
        max_stake=6,
        staked_total=7,
        normalized_total=8,
        expires_ledger=9,
        updated_ledger=10,
    )


#: What the block of the test below came to for both poolers.
WHOLE = BlockReport(
    block_index=BLOCK,
    opened_at=HOUR,
    planted=6,
    not_planted=2,
    staked=606,
    min_stake=1,
    max_stake=300,
    worked=6,
    not_worked=2,
    total_zeros=18,
    min_zeros=1,
    max_zeros=5,
    total_gap=666,
    min_gap=11,
    max_gap=310,
    harvested=6,
    not_harvested=2,
    rewards=4242,
    min_reward=7,
    max_reward=2100,
    stake_returned=1818,
    fees=3 * 707,
    chain_min_stake=5,
    chain_max_stake=6,
    chain_min_zeros=3,
    chain_max_zeros=4,
    chain_min_gap=1,
    chain_max_gap=2,
)


async def test_a_block_has_the_figures_of_all_poolers_and_of_the_chain(tables: Tables) -> None:
    await seen(tables, BLOCK)
    for pooler, factor in ((tables.one, 1), (tables.other, 100)):
        people = [await tables.person(pooler) for _ in range(4)]
        for number, person in enumerate(people[:3], start=1):
            amount = factor * number
            given: dict[str, Any] = {"pooler": pooler, "fee_charged": amount}
            await tables.event("plant.plantings", person, stake_amount=amount, **given)
            await tables.event(
                "work.works", person, zeros=number + factor // 50, gap=10 + amount, **given
            )
            await tables.event(
                "harvest.harvests",
                person,
                reward_amount=7 * amount,
                stake_returned=3 * amount,
                **given,
            )
        for table in ("plant.plantings", "work.works", "harvest.harvests"):
            await tables.event(
                table, people[3], pooler=pooler, reason="EXPIRED", fee_charged=factor
            )
    assert await tables.store.blocks(None, before=MAX_INDEX, limit=9) == [WHOLE]
    own = dataclasses.replace(
        WHOLE,
        planted=3,
        not_planted=1,
        staked=6,
        max_stake=3,
        worked=3,
        not_worked=1,
        total_zeros=6,
        max_zeros=3,
        total_gap=36,
        max_gap=13,
        harvested=3,
        not_harvested=1,
        rewards=42,
        max_reward=21,
        stake_returned=18,
        fees=3 * 7,
    )
    assert await tables.store.blocks(tables.one, before=MAX_INDEX, limit=9) == [own]
    # Zeros 1, 2, 3 and 3, 4, 5.
    assert await tables.store.farmers_by_zeros(BLOCK) == [0, 1, 1, 2, 1, 1]
    assert await tables.store.farmers_by_zeros(BLOCK + 1) == []


EXTREMES = {f"{end}_{name}" for end in ("min", "max") for name in ("stake", "zeros", "gap")}
#: What a block does not have that nobody finished, and that wallet never saw.
ABSENT = EXTREMES | {f"chain_{name}" for name in EXTREMES} | {"opened_at"}


async def test_a_block_that_nobody_finished_has_no_extremes(tables: Tables) -> None:
    await seen(tables, BLOCK + 1)
    await tables.event("plant.plantings", await tables.person(), reason="EXPIRED")
    (found,) = await tables.store.blocks(None, before=MAX_INDEX, limit=9)
    assert (found.planted, found.not_planted, found.worked, found.harvested) == (0, 1, 0, 0)
    absent = {
        field.name for field in dataclasses.fields(found) if getattr(found, field.name) is None
    }
    assert absent == ABSENT
    assert (found.min_reward, found.max_reward) == (0, 0)


@pytest.mark.parametrize("table", ["plant.plantings", "work.works", "harvest.harvests"])
async def test_a_block_with_one_kind_of_events_has_zeros_for_the_others(
    tables: Tables, table: str
) -> None:
    await tables.event(table, await tables.person(), reason="EXPIRED", fee_charged=7)
    (found,) = await tables.store.blocks(None, before=MAX_INDEX, limit=9)
    failed = {"plant.plantings": "not_planted", "work.works": "not_worked"}
    own = {failed.get(table, "not_harvested"): 1, "fees": 7, "block_index": BLOCK}
    told = dataclasses.asdict(found)
    assert {name: value for name, value in told.items() if value is not None} == {
        name: own.get(name, 0) for name in told if name not in ABSENT
    }


async def test_blocks_are_those_of_any_kind_newest_first(tables: Tables) -> None:
    mine, theirs = [await tables.person(pooler) for pooler in (tables.one, tables.other)]
    kinds = ("plant.plantings", "work.works", "harvest.harvests")
    # Each block is known from one kind of events, and from two poolers.
    for number, table in enumerate([*kinds, *kinds]):
        block = BLOCK + 7 * number % 6
        await tables.event(table, mine, block=block)
        await tables.event(table, theirs, pooler=tables.other, block=block)
        await tables.event(table, theirs, pooler=tables.other, block=block + 100)

    async def told(pooler: PoolerId | None, before: int, limit: int) -> list[int]:
        found = await tables.store.blocks(pooler, before=before, limit=limit)
        return [one.block_index for one in found]

    early = [BLOCK + number for number in (5, 4, 3, 2, 1, 0)]
    late = [block + 100 for block in early]
    assert await told(None, MAX_INDEX, 99) == [*late, *early]
    assert await told(None, MAX_INDEX, 3) == late[:3]
    assert await told(None, late[-1], 2) == early[:2]
    assert await told(None, early[0], 99) == early[1:]
    assert await told(tables.one, MAX_INDEX, 99) == early
    assert await told(tables.one, MAX_INDEX, 4) == early[:4]
    assert await told(tables.one, early[2], 2) == early[3:5]
    assert await told(tables.other, MAX_INDEX, 99) == [*late, *early]
    assert await told(PoolerId(new_id()), MAX_INDEX, 99) == []


KINDS = {
    "plant.plantings": "planted",
    "work.works": "worked",
    "harvest.harvests": "harvested",
}


@pytest.mark.parametrize("table", KINDS)
@pytest.mark.parametrize("is_of_one", [False, True])
async def test_so_many_blocks_are_told_though_many_poolers_took_part(
    tables: Tables, table: str, is_of_one: bool
) -> None:
    mine, again, theirs = [
        await tables.person(pooler) for pooler in (tables.one, tables.one, tables.other)
    ]
    for block in (BLOCK + 3, BLOCK, BLOCK + 4, BLOCK + 1, BLOCK + 2):
        await tables.event(table, mine, block=block)
        await tables.event(table, theirs, pooler=tables.other, block=block)
    await tables.event(table, again, block=BLOCK + 2)
    found = await tables.store.blocks(tables.one if is_of_one else None, before=BLOCK + 4, limit=3)
    others = 0 if is_of_one else 1
    assert [(one.block_index, getattr(one, KINDS[table])) for one in found] == [
        (BLOCK + 3, 1 + others),
        (BLOCK + 2, 2 + others),
        (BLOCK + 1, 1 + others),
    ]


async def test_a_farmer_of_a_pooler_counts_for_the_pooler_of_the_event(tables: Tables) -> None:
    person: Person = await tables.person(tables.one)
    await tables.event("plant.plantings", person, pooler=tables.other)
    assert await tables.store.blocks(tables.one, before=MAX_INDEX, limit=9) == []
    (found,) = await tables.store.blocks(tables.other, before=MAX_INDEX, limit=9)
    assert found.planted == 1
