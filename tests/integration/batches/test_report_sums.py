"""Sums for reports equal what is computed over the events, however these were written."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from libs.common.ids import PoolerId, new_id
from services.migrations import migrations_of
from tests.support.batch_tables import BLOCK, SERVICES, Tables, open_tables
from tests.support.database import DatabaseAccess, connect
from tests.support.pool_world import Person, eventually
from tests.support.table_rows import insert_event, insert_row

WORK, HARVEST = SERVICES[1:]
MAX = 2**63 - 1
#: First blocks of spans after BLOCK: of the next hour, and of the next day.
SPAN, DAY = 48, 288
NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
ALL_OF_TIME = datetime(2020, 1, 1, tzinfo=UTC)

Row = Mapping[str, Any]


# What sums are to be, in words that share nothing with the database's --------------------------


def block_sums(service: str, events: Iterable[Row]) -> dict[tuple[int, UUID], dict[str, Any]]:
    """What the events of each block and pooler come to."""
    found = defaultdict[tuple[int, UUID], list[Row]](list)
    for event in events:
        found[event["block_index"], event["pooler_id"]].append(event)
    summed = {"plant": plant_sums, "work": work_sums, "harvest": harvest_sums}[service]
    return {
        key: {**summed(some), "fees": sum(event["fee_charged"] for event in some)}
        for key, some in found.items()
    }


def successes(events: Sequence[Row]) -> tuple[list[Row], int]:
    """Events that succeeded, and the number of farmers without one."""
    done = [event for event in events if event["status"] == "success"]
    farmers = {event["farmer_id"] for event in events}
    return done, len(farmers - {event["farmer_id"] for event in done})


def plant_sums(events: Sequence[Row]) -> dict[str, Any]:
    """What plantings come to."""
    done, failed = successes(events)
    stakes = [event["stake_amount"] for event in done]
    return {
        "planted": len(done),
        "not_planted": failed,
        "staked": sum(stakes),
        "min_stake": min(stakes, default=None),
        "max_stake": max(stakes, default=None),
    }


def work_sums(events: Sequence[Row]) -> dict[str, Any]:
    """What works come to: the best of each farmer."""
    done, failed = successes(events)
    best: dict[UUID, tuple[int, int]] = {}
    for event in done:
        shown = (event["zeros"], event["gap"])
        best[event["farmer_id"]] = max(shown, best.get(event["farmer_id"], shown))
    zeros, gaps = [one[0] for one in best.values()], [one[1] for one in best.values()]
    return {
        "worked": len(best),
        "not_worked": failed,
        "total_zeros": sum(zeros),
        "min_zeros": min(zeros, default=None),
        "max_zeros": max(zeros, default=None),
        "total_gap": sum(gaps),
        "min_gap": min(gaps, default=None),
        "max_gap": max(gaps, default=None),
        "farmers_by_zeros": [zeros.count(one) for one in range(max(zeros, default=-1) + 1)],
    }


def harvest_sums(events: Sequence[Row]) -> dict[str, Any]:
    """What harvests come to."""
    done, failed = successes(events)
    rewards = [event["reward_amount"] for event in done]
    return {
        "harvested": len(done),
        "not_harvested": failed,
        "rewards": sum(rewards),
        "min_reward": min(rewards, default=None),
        "max_reward": max(rewards, default=None),
        "stake_returned": sum(event["stake_returned"] for event in done),
    }


def earnings(events: Iterable[Row], owner: str) -> dict[tuple[str, datetime, UUID], Any]:
    """What harvests come to by hour, day and month, and ever."""
    found: dict[tuple[str, datetime, UUID], tuple[int, int, int]] = {}
    for event in events:
        if event["status"] != "success":
            continue
        hour = event["harvested_at"].replace(minute=0, second=0, microsecond=0)
        day = hour.replace(hour=0)
        spans = {"hour": hour, "day": day, "month": day.replace(day=1), "all": ALL_OF_TIME}
        for span, start in spans.items():
            key = (span, start, event[owner])
            rewards, harvests, stakes = found.get(key, (0, 0, 0))
            found[key] = (
                rewards + event["reward_amount"],
                harvests + 1,
                stakes + event["stake_returned"],
            )
    return found


def span_sums(service: str, events: Iterable[Row]) -> dict[tuple[int, int, UUID], dict[str, Any]]:
    """What the blocks of each span and pooler come to.

    Of works this is a sum of blocks, too: a farmer counts once for each of them.
    """
    found = defaultdict[tuple[int, int, UUID], list[Mapping[str, Any]]](list)
    for (block, pooler), sums in block_sums(service, events).items():
        for size in (12, 288):
            found[size, block - block % size, pooler].append(sums)
    return {key: added(service, some) for key, some in found.items()}


def added(service: str, sums: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums of blocks, added up."""
    names = {
        "plant": ("planted", "not_planted", "staked"),
        "work": ("worked", "not_worked"),
        "harvest": ("harvested", "not_harvested", "rewards"),
    }[service]
    total: dict[str, Any] = {name: sum(one[name] for one in sums) for name in names}
    if service == "work":
        counts = [one["farmers_by_zeros"] for one in sums]
        total["worked_blocks"] = sum(one["worked"] > 0 for one in sums)
        total["farmers_by_zeros"] = [
            sum(one[place] for one in counts if place < len(one))
            for place in range(max(map(len, counts)))
        ]
    return total


# What stands in the database --------------------------------------------------------------------


async def check(tables: Tables) -> None:
    """Compare all sums with all events."""
    service, connection = tables.service, tables.world.connection
    events = await connection.fetch(
        f"SELECT *, status::text AS status FROM {service.events}"  # noqa: S608  (the test's own words)
    )
    rows = await connection.fetch(f"SELECT * FROM {service.name}.block_sums")  # noqa: S608  (the test's own words)
    kept = {(row["block_index"], row["pooler_id"]): dict(row) for row in rows}
    for row in kept.values():
        del row["block_index"], row["pooler_id"]
    assert kept == block_sums(service.name, map(_as_told, events))
    rows = await connection.fetch(f"SELECT * FROM {service.name}.span_sums")  # noqa: S608  (the test's own words)
    spans = {(row["blocks"], row["first_block"], row["pooler_id"]): dict(row) for row in rows}
    for row in spans.values():
        del row["blocks"], row["first_block"], row["pooler_id"]
    assert spans == span_sums(service.name, map(_as_told, events))
    if service is HARVEST:
        for table, owner in (("pooler_earnings", "pooler_id"), ("farmer_earnings", "farmer_id")):
            await check_earnings(connection, table, owner, events)


async def check_earnings(
    connection: "asyncpg.Connection[Any]", table: str, owner: str, events: Sequence[Row]
) -> None:
    """Compare the sums of spans with the events."""
    rows = await connection.fetch(f"SELECT * FROM harvest.{table}")  # noqa: S608  (the test's own words)
    kept = {
        (row["span"], row["starts_at"], row[owner]): (
            row["rewards"],
            row["harvests"],
            row["stake_returned"],
        )
        for row in rows
    }
    expected = earnings(map(_as_told, events), owner)
    if owner == "farmer_id":  # what a farmer earned ever is its balance
        expected = {key: value for key, value in expected.items() if key[0] != "all"}
    assert kept == expected


def _as_told(event: Row) -> Row:
    """The event with the status as text."""
    return {**dict(event), "status": str(event["status"])}


# Events as the services write them ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Deed:
    """Something that wallet has settled for a farmer."""

    #: Number of the farmer; those with odd numbers belong to another pooler.
    farmer: int
    #: Blocks after the first.
    block: int
    #: Why it failed; empty when it did not.
    reason: str
    #: Reconciliation recorded it.
    is_found: bool
    #: Stake, reward and zeros come from it.
    size: int
    #: Ledgers between plant and work.
    gap: int
    #: Hours after noon on the last day of a month.
    hours: int
    #: How many batches ask for it.
    batches: int


DEEDS = st.builds(
    Deed,
    farmer=st.integers(0, 2),
    block=st.integers(0, 1),
    reason=st.sampled_from(["", "", "EXPIRED", "FEE_CAP"]),
    is_found=st.booleans(),
    size=st.integers(0, 4),
    gap=st.integers(1, 60),
    hours=st.integers(0, 40),
    batches=st.integers(1, 2),
)


async def settle(tables: Tables, person: Person, deed: Deed) -> UUID | None:
    """Write the operation; None when another one has done the same."""
    operation, block = new_id(), BLOCK + deed.block
    own: dict[str, dict[str, object]] = {
        "plant": {"amount": deed.size},
        "work": {
            # What did not fail has a nonce of its own.
            "nonce": operation.int % 10**18,
            "hash": bytes(32),
            "zeros": deed.size,
            "gap": deed.gap,
        },
        "harvest": {"amount": deed.size, "stake_returned": 3 * deed.size},
    }
    try:
        await insert_row(
            tables.world.connection,
            "wallet.operations",
            id=operation,
            kind=tables.service.name,
            wallet_id=person.wallet_id,
            block_index=block,
            state="failed" if deed.reason else "succeeded",
            reason=deed.reason or None,
            fee_charged=100 + deed.size,
            ledger=103,
            settled_at=NOON + timedelta(hours=deed.hours),
            is_found=deed.is_found,
            **own[tables.service.name],
        )
    except asyncpg.UniqueViolationError:
        return None
    return operation


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Farmers of two poolers, in turns."""

    poolers: tuple[PoolerId, PoolerId]
    people: Sequence[Person]


async def crowd(tables: Tables) -> Crowd:
    """New farmers of new poolers."""
    one, other = [PoolerId(await tables.world.pooler()) for _ in range(2)]
    people = [await tables.world.farmer((one, other)[number % 2]) for number in range(4)]
    return Crowd(poolers=(one, other), people=people)


async def carry_out(tables: Tables, some: Crowd, deeds: Sequence[Deed]) -> None:
    """Let the service write the events of all deeds: in several batches, twice, at once."""
    for deed in deeds:
        person = some.people[deed.farmer]
        operation = await settle(tables, person, deed)
        if operation is None:
            continue
        asked = []
        for _ in range(0 if deed.is_found else deed.batches):
            batch_id = await tables.batch(
                [person], pooler=some.poolers[deed.farmer % 2], block=BLOCK + deed.block
            )
            await tables.joins(batch_id, 0, operation)
            asked.append(batch_id)
        await asyncio.gather(
            tables.store.record_found(0), *(tables.store.record(one) for one in asked * 2)
        )


@settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(deeds=st.lists(DEEDS, min_size=3, max_size=9))
async def test_sums_are_those_of_the_events_whatever_was_done_in_which_order(
    tables: Tables, deeds: list[Deed]
) -> None:
    some = await crowd(tables)
    await carry_out(tables, some, deeds)
    await check(tables)


async def test_one_batch_sums_all_of_its_farmers_and_a_repeat_adds_nothing(
    tables: Tables,
) -> None:
    people = await tables.people(5)
    batch_id = await tables.done(people)
    await check(tables)
    assert await tables.store.record(batch_id)
    await check(tables)


async def test_what_failed_and_was_then_found_done_counts_as_done(tables: Tables) -> None:
    (person,) = await tables.people(1)
    failed = await tables.operation(person, reason="EXPIRED")
    batch_id = await tables.batch([person])
    await tables.joins(batch_id, 0, failed)
    assert await tables.store.record(batch_id)
    sums = f"SELECT * FROM {tables.service.name}.block_sums"  # noqa: S608  (the test's own words)
    (row,) = await tables.world.connection.fetch(sums)
    assert (row[2], row[3]) == (0, 1)
    await tables.operation(person, is_found=True)
    assert await tables.store.record_found(0) == 1
    (row,) = await tables.world.connection.fetch(sums)
    assert (row[2], row[3]) == (1, 0)
    await check(tables)


async def test_statements_for_one_block_at_a_time_are_all_counted(tables: Tables) -> None:
    """Each waits for those before it, and sees their events."""
    before, *people = await tables.people(4)
    # Their row is there already: it is not for its making that the others wait.
    await tables.done([before])
    batches = []
    for person in people:
        batch_id = await tables.batch([person])
        await tables.joins(batch_id, 0, await tables.operation(person))
        batches.append(batch_id)
    async with tables.store.database.transaction() as session:
        rows = await session.many("ended_items", batches[0])
        names = ("operation_id", "state", "farmer_id")
        told = [[row[name] for row in rows] for name in names]
        await session.execute("record", batches[0], *told)
        others = [asyncio.create_task(tables.store.record(one)) for one in batches[1:]]
        waiting = "wait_event_type = 'Lock' AND datname = current_database()"

        async def both_wait() -> bool:
            return await tables.world.count("pg_stat_activity", waiting) == len(others)

        await eventually(both_wait)
    assert await asyncio.gather(*others) == [True, True]
    await check(tables)


async def test_events_of_several_blocks_and_poolers_are_summed_by_one_statement(
    tables: Tables,
) -> None:
    some = await crowd(tables)
    table, connection = tables.service.events, tables.world.connection
    for number, person in enumerate(some.people):
        # The second block begins another hour, the third another day.
        for block in (BLOCK, SPAN, DAY):
            await insert_event(
                connection,
                table,
                farmer=person.farmer_id,
                pooler=some.poolers[number % 2],
                block=block,
            )
    # Once more all of them at once, as other rows: of these blocks and of others.
    own = tables.service.name
    await connection.execute("SELECT " + f"{own}.ensure_partition($1)", BLOCK + 10)
    columns = await connection.fetchval(
        "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = "
        "$1::regclass AND attnum > 0 AND attname NOT IN ('id', 'block_index', 'status')",
        table,
    )
    await connection.execute(
        f"INSERT INTO {table} (id, block_index, status, {columns}) "  # noqa: S608  (the test's own words)
        f"SELECT gen_random_uuid(), block_index + extra, 'failed', {columns} "
        f"FROM {table}, unnest(ARRAY[0, 5]) AS e (extra)"
    )
    await check(tables)


async def test_what_was_summed_before_the_release_is_in_the_spans(tables: Tables) -> None:
    some, connection, own = await crowd(tables), tables.world.connection, tables.service.name

    async def farm(*blocks: int) -> None:
        for number, person in enumerate(some.people):
            for block in blocks:
                await insert_event(
                    connection,
                    tables.service.events,
                    farmer=person.farmer_id,
                    pooler=some.poolers[number % 2],
                    block=block,
                    # Of one pooler all fail in one of the blocks.
                    reason="EXPIRED" if number % 2 and block == DAY else "",
                )

    await farm(BLOCK, BLOCK + 1, SPAN, DAY)
    await connection.execute(
        f"DROP TABLE {own}.span_sums CASCADE; DROP FUNCTION {own}.sum_spans CASCADE; "
        f"DROP FUNCTION IF EXISTS {own}.add_counts"
    )
    (migration,) = migrations_of(own).glob("*_pool_sums.sql")
    await connection.execute(migration.read_text(encoding="utf-8"))
    await check(tables)
    await farm(BLOCK + 2, SPAN + 1)
    await check(tables)


async def test_statements_for_blocks_of_one_span_are_all_counted(tables: Tables) -> None:
    """They wait for each other, and none is lost."""
    some = await crowd(tables)

    async def farm(block: int) -> None:
        async with connect(tables.database.admin_dsn) as own:
            await insert_event(
                own,
                tables.service.events,
                farmer=some.people[0].farmer_id,
                pooler=some.poolers[0],
                block=block,
            )

    await asyncio.gather(*(farm(SPAN + number) for number in range(10)))
    await check(tables)


async def test_of_a_farmers_works_the_best_one_counts_with_its_own_gap(
    database: DatabaseAccess,
) -> None:
    async with open_tables(WORK, database) as tables:
        (person,) = await tables.people(1)
        for zeros, gap in ((3, 50), (5, 10), (5, 9), (4, 60)):
            await insert_event(
                tables.world.connection,
                "work.works",
                farmer=person.farmer_id,
                pooler=tables.pooler,
                block=BLOCK,
                zeros=zeros,
                gap=gap,
            )
        (row,) = await tables.world.connection.fetch("SELECT * FROM work.block_sums")
        assert (row["worked"], row["total_zeros"], row["total_gap"]) == (1, 5, 10)
        assert (row["min_gap"], row["max_gap"], row["max_zeros"]) == (10, 10, 5)
        await check(tables)


async def test_nobody_but_the_database_writes_sums(tables: Tables) -> None:
    await tables.done(await tables.people(1))
    name = tables.service.name
    columns = {f"{name}.block_sums": "fees", f"{name}.span_sums": "blocks"}
    if tables.service is HARVEST:
        columns |= {"harvest.pooler_earnings": "rewards", "harvest.farmer_earnings": "rewards"}
    async with connect(tables.database.dsn(name)) as own:
        for table, column in columns.items():
            for statement in (
                f"UPDATE {{}} SET {column} = 0",  # noqa: S608  (the test's own words)
                "DELETE FROM {}",
                "INSERT INTO {} SELECT",
                "SELECT 1 FROM {} FOR UPDATE",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await own.execute(statement.format(table))


#: The largest amounts of an event, by service.
LARGEST: Mapping[str, Mapping[str, Any]] = {
    "plant": {"stake_amount": MAX, "fee_charged": MAX},
    "work": {"fee_charged": MAX},
    "harvest": {"reward_amount": MAX, "stake_returned": MAX, "fee_charged": MAX},
}


async def test_sums_that_are_at_their_end_keep_no_event_from_being_written(
    tables: Tables,
) -> None:
    people = await tables.people(3)
    for person in people:
        await insert_event(
            tables.world.connection,
            tables.service.events,
            farmer=person.farmer_id,
            pooler=tables.pooler,
            block=BLOCK,
            **LARGEST[tables.service.name],
        )
    (row,) = await tables.world.connection.fetch(f"SELECT * FROM {tables.service.name}.block_sums")  # noqa: S608  (the test's own words)
    assert (row[2], row["fees"]) == (3, MAX)
    largest = {"plant": "staked", "work": "worked", "harvest": "rewards"}[tables.service.name]
    rows = await tables.world.connection.fetch(
        f"SELECT {largest} FROM {tables.service.name}.span_sums"  # noqa: S608  (the test's own words)
    )
    assert {row[0] for row in rows} == {3 if tables.service is WORK else MAX}
    # A role may write what no chain says: it is counted as far down as numbers go.
    for person in people[:2]:
        await insert_event(
            tables.world.connection,
            tables.service.events,
            farmer=person.farmer_id,
            pooler=tables.pooler,
            block=BLOCK + 1,
            fee_charged=-MAX - 1,
        )
    (row,) = await tables.world.connection.fetch(
        f"SELECT * FROM {tables.service.name}.block_sums WHERE block_index = $1",  # noqa: S608  (the test's own words)
        BLOCK + 1,
    )
    assert (row[2], row["fees"]) == (2, -MAX - 1)


async def test_earnings_that_are_at_their_end_stay_there(database: DatabaseAccess) -> None:
    async with open_tables(HARVEST, database) as tables:
        (person,) = await tables.people(1)
        for block in (BLOCK, BLOCK + 1):
            await insert_event(
                tables.world.connection,
                "harvest.harvests",
                farmer=person.farmer_id,
                pooler=tables.pooler,
                block=block,
                harvested_at=NOON,
                **LARGEST["harvest"],
            )
        for table in ("pooler_earnings", "farmer_earnings"):
            rows = await tables.world.connection.fetch(
                f"SELECT rewards, harvests, stake_returned FROM harvest.{table}"  # noqa: S608  (the test's own words)
            )
            assert {tuple(row) for row in rows} == {(MAX, 2, MAX)}
