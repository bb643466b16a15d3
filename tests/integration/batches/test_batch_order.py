"""In which order rows are told and written, wherever they stand in their tables."""

from collections.abc import AsyncIterator, Iterable
from uuid import UUID

import pytest

from libs.common.ids import BatchId
from tests.support.batch_tables import BLOCK, SERVICES, Tables, open_tables
from tests.support.database import DatabaseAccess
from tests.support.pool_world import Person
from tests.support.table_rows import read_as_stored, store_in_order


@pytest.fixture(params=SERVICES, ids=lambda service: service.name)
async def tables(request: pytest.FixtureRequest, database: DatabaseAccess) -> AsyncIterator[Tables]:
    """A service's tables, which are read in the order in which their rows stand."""
    await read_as_stored(database)
    async with open_tables(request.param, database) as opened:
        yield opened


async def store_again(
    tables: Tables, table: str, ids: Iterable[UUID], *, column: str = "id"
) -> None:
    """Let rows stand in this order, also those that never change."""
    connection = tables.world.connection
    await connection.execute("SET session_replication_role = replica")
    await store_in_order(connection, table, ids, column=column)
    await connection.execute("RESET session_replication_role")


async def written(tables: Tables) -> list[tuple[UUID, UUID]]:
    """Farmers and ids of all events in the order in which they were written."""
    rows = await tables.world.connection.fetch(
        f"SELECT farmer_id, id FROM {tables.service.events} ORDER BY tableoid, ctid"  # noqa: S608  (the test's own words)
    )
    return [(row["farmer_id"], row["id"]) for row in rows]


async def settled_batch(tables: Tables, people: list[Person]) -> BatchId:
    """A batch of people in the reverse of their order, all of whom are settled."""
    backwards = people[::-1]
    batch_id = await tables.batch(backwards)
    for position, person in enumerate(backwards):
        await tables.joins(batch_id, position // 2, await tables.operation(person))
    return batch_id


async def test_a_batch_writes_its_events_farmer_by_farmer(tables: Tables) -> None:
    people = await tables.people(4)
    assert await tables.store.record(await settled_batch(tables, people))
    assert [farmer for farmer, _ in await written(tables)] == [one.farmer_id for one in people]


async def test_what_was_found_is_written_farmer_by_farmer_and_by_id(tables: Tables) -> None:
    people = await tables.people(3)
    found = [
        (person.farmer_id, await tables.operation(person, reason="REFUSED", is_found=True))
        for person in people
        for _ in range(3)
    ]
    # Whichever way they are read, a farmer's come in no order of their ids.
    ids = [operation for _, operation in found]
    await store_again(tables, "wallet.operations", [*ids[1::3], *ids[2::3], *ids[::3]])
    assert await tables.store.record_found(0) == len(found)
    assert await written(tables) == found


async def test_farmers_of_a_chunk_are_told_by_id(tables: Tables) -> None:
    people = await tables.people(4)
    batch_id = await tables.batch(people[::-1])
    chunks = await tables.store.chunks(batch_id)
    told = [[item[0] if isinstance(item, tuple) else item for item in one.items] for one in chunks]
    ids = [person.farmer_id for person in people]
    assert told == [ids[2:], ids[:2]]


async def test_events_of_a_batch_are_told_by_farmer(tables: Tables) -> None:
    people = await tables.people(4)
    batch_id = await settled_batch(tables, people)
    assert await tables.store.record(batch_id)
    ids = [event for _, event in await written(tables)]
    await store_again(tables, tables.service.events, [*ids[1:], ids[0]])
    items = f"{tables.service.name}.batch_items"
    farmers = [one.farmer_id for one in people]
    await store_again(tables, items, [*farmers[1:], farmers[0]], column="farmer_id")
    events = await tables.store.events_of_batch(batch_id)
    assert [event.farmer_id for event in events] == farmers


async def test_open_batches_are_told_by_id(tables: Tables) -> None:
    ids = [await tables.batch([]) for _ in range(4)]
    await store_again(tables, f"{tables.service.name}.batches", [*ids[1:], ids[0]])
    assert await tables.store.open_batches() == ids


async def test_blocks_with_something_found_are_told_in_their_order(tables: Tables) -> None:
    (person,) = await tables.people(1)
    blocks = [BLOCK + number for number in (3, 1, 5, 0, 4, 2)]
    for block in blocks:
        for _ in range(2):
            await tables.operation(person, block=block, reason="REFUSED", is_found=True)
    rows = await tables.store.database.many("found_blocks", 0)
    assert [row["block_index"] for row in rows] == sorted(blocks)


async def test_events_are_listed_newest_first_by_block_and_id(tables: Tables) -> None:
    people = await tables.people(3)
    expected = []
    for block in (BLOCK + 1, BLOCK - 1, BLOCK):
        batch_id = await tables.done(people, block=block)
        events = await tables.store.events_of_batch(batch_id)
        expected += [(block, event.event_id) for event in events]
    rows = await tables.store.database.many(
        "list_events", tables.pooler, None, None, None, None, 99
    )
    told = [(row["block_index"], row["event_id"]) for row in rows]
    assert told == sorted(expected, reverse=True)
