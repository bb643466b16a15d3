"""Queries of a batch one by one: what one of them leaves out, the next one would leave out, too."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.ids import BatchId
from tests.support.batch_tables import BLOCK, Tables
from tests.support.pool_world import Person


async def ended(tables: Tables, batch_id: BatchId) -> list[tuple[UUID, UUID, str]]:
    """Operations of a batch that have ended, with their farmers and states."""
    rows = await tables.store.database.many("ended_items", batch_id)
    return sorted((row["operation_id"], row["farmer_id"], row["state"]) for row in rows)


async def events(tables: Tables) -> set[UUID]:
    """Ids of all events."""
    rows = await tables.world.connection.fetch(f"SELECT id FROM {tables.service.events}")  # noqa: S608  (the test's own words)
    return {row["id"] for row in rows}


async def test_what_has_ended_is_of_the_farmers_chunk_and_of_the_block(tables: Tables) -> None:
    people = first, second, third, fourth = await tables.people(4)
    (elsewhere,) = await tables.people(1)
    one, two = await tables.batch(people), await tables.batch([elsewhere, first])
    done = await tables.operation(first)
    failed = await tables.operation(second, reason="FEE_CAP")
    another = await tables.operation(first, reason="FEE_CAP")
    # Of a farmer of another chunk, and of a farmer of another batch.
    others = [await tables.operation(third), await tables.operation(elsewhere)]
    await tables.joins(one, 0, done, failed, *others)
    await tables.joins(one, 1, await tables.operation(fourth, block=BLOCK - 1))
    await tables.joins(two, 0, done, another)
    assert await ended(tables, one) == sorted(
        [(done, first.farmer_id, "succeeded"), (failed, second.farmer_id, "failed")]
    )
    of_two = sorted([(done, first.farmer_id, "succeeded"), (another, first.farmer_id, "failed")])
    assert await ended(tables, two) == of_two
    assert not await tables.store.record(one)
    assert await ended(tables, one) == []
    assert await ended(tables, two) == of_two


async def test_named_farmers_are_refused_once_and_in_their_batch_alone(tables: Tables) -> None:
    people = await tables.people(5)
    first, second, third, fourth = people[:4]
    batch_id = await tables.batch(people)
    await tables.batch(people)
    await tables.joins(batch_id, 0, await tables.operation(second))
    assert not await tables.store.record(batch_id)
    await tables.store.refuse(batch_id, 1, "REFUSED", "before")
    named = [one.farmer_id for one in (first, second, third)]
    await tables.store.database.execute("refuse_items", batch_id, named, "TAMPERED", "now")
    rows = await tables.world.connection.fetch(
        f"SELECT batch_id, farmer_id, refusal, message FROM {tables.service.name}.batch_items "  # noqa: S608  (the test's own words)
        "WHERE refusal <> '' ORDER BY farmer_id"
    )
    assert [tuple(row) for row in rows] == [
        (batch_id, first.farmer_id, "TAMPERED", "now"),
        (batch_id, third.farmer_id, "REFUSED", "before"),
        (batch_id, fourth.farmer_id, "REFUSED", "before"),
    ]


async def test_only_what_was_named_is_recorded_and_only_once(tables: Tables) -> None:
    one, other = await tables.people(2)
    batch_id = await tables.batch([one, other])
    failed = await tables.operation(one, reason="FEE_CAP")
    again = await tables.operation(one, reason="FEE_CAP")
    earlier = await tables.operation(one, block=BLOCK - 1)

    async def record(operation: UUID, state: str, person: Person) -> None:
        told = [[operation], [state], [person.farmer_id]]
        await tables.store.database.execute("record", batch_id, *told)

    await record(earlier, "succeeded", one)
    await record(failed, "succeeded", one)
    await record(failed, "failed", other)
    assert await events(tables) == set()
    await record(again, "failed", one)
    assert await events(tables) == {again}
    await record(failed, "failed", one)
    assert await events(tables) == {again}
    (event,) = await tables.store.events_of_batch(batch_id)
    assert (event.event_id, event.farmer_id) == (again, one.farmer_id)


async def test_one_batch_is_completed_and_no_other(tables: Tables) -> None:
    first, second = [await tables.batch([]) for _ in range(2)]
    assert await tables.store.record(first)
    assert await tables.store.open_batches() == [second]


async def found(tables: Tables) -> list[tuple[UUID, str]]:
    """What was found in the block and is not told of, with its state."""
    rows = await tables.store.database.many("found_operations", BLOCK)
    return sorted((row["operation_id"], row["state"]) for row in rows)


async def record_found(tables: Tables, ids: Sequence[UUID], states: Sequence[str]) -> int:
    """Record those of the block; how many that were."""
    row = await tables.store.database.one("record_found", BLOCK, ids, states)
    assert row is not None
    return int(row["recorded"])


async def test_what_was_found_is_of_its_block_and_kind_and_no_event_tells_of_it(
    tables: Tables,
) -> None:
    here, again, told, asked, other_kind = await tables.people(5)
    stranger = await tables.stranger()
    # Neither an event of another block, nor another farmer's, nor one of a failure tells of it.
    await tables.done([here], block=BLOCK + 2)
    await tables.done([told])
    batch_id = await tables.batch([again])
    await tables.joins(batch_id, 0, await tables.operation(again, reason="FEE_CAP"))
    assert await tables.store.record(batch_id)
    before = await events(tables)
    new = [await tables.operation(one, is_found=True) for one in (here, again)]
    rest = [
        await tables.operation(told, reason="EXPIRED", is_found=True),
        await tables.operation(here, block=BLOCK + 1, is_found=True),
        await tables.operation(asked),
        await tables.world.found(other_kind, BLOCK, "onboard"),
        await tables.operation(stranger, is_found=True),
    ]
    assert await found(tables) == sorted((one, "succeeded") for one in new)
    assert await record_found(tables, [], []) == 0
    assert await record_found(tables, new, ["failed"] * 2) == 0
    ids = [*new, *rest]
    states = ["failed" if one == rest[0] else "succeeded" for one in ids]
    assert await record_found(tables, ids, states) == 2
    assert await events(tables) == before.union(new)
    assert await found(tables) == []
