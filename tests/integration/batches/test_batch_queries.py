"""The SQL that plant, work and harvest share, clause by clause, as each service's own role."""

import asyncio
import dataclasses
from collections.abc import Mapping
from uuid import UUID

import asyncpg
import pytest

from libs.batches.model import (
    Batch,
    BatchRequest,
    ChainHead,
    FarmerNotFoundError,
    PoolerNotFoundError,
)
from libs.common.db.queries import load_queries
from libs.common.errors import UnavailableError
from libs.common.ids import BatchId, PoolerId, new_id
from services.harvest.domain import model as harvest
from services.plant.domain import model as plant
from services.work.domain import model as work
from tests.support.batch_tables import BLOCK, Tables
from tests.support.database import connect
from tests.support.pool_world import Person

#: Queries whose rows become these classes, by service; events are the service's own class.
ROWS: Mapping[str, Mapping[str, type]] = {
    "": {"head": ChainHead, "batch": Batch, "batch_by_request": Batch},
    "plant": {"candidates": plant.Candidate},
    "work": {"farmers": work.FarmerState, "verdicts": work.Verdict},
    "harvest": {
        "candidates": harvest.Candidate,
        "pending_blocks": harvest.PendingBlock,
        "balance": harvest.Balance,
    },
}


async def test_every_query_fits_the_schema_and_its_dataclass(tables: Tables) -> None:
    service = tables.service
    rows = {**ROWS[""], **ROWS[service.name]}
    rows |= {"events_of_batch": service.event, "list_events": service.event}
    queries = load_queries(*service.queries)
    assert rows.keys() <= queries.keys()
    async with connect(tables.database.dsn(service.name)) as own:
        # As the service connects: a name without a schema means nothing.
        await own.execute("SET search_path = pg_catalog")
        for query in queries.values():
            statement = await own.prepare(query.sql)
            columns = [attribute.name for attribute in statement.get_attributes()]
            assert columns or query.kind == "exec", query.name
            if query.name in rows:
                fields = [field.name for field in dataclasses.fields(rows[query.name])]
                assert sorted(columns) == sorted(fields), query.name


async def test_a_service_reaches_no_batch_of_another(tables: Tables) -> None:
    for other in {"plant", "work", "harvest"} - {tables.service.name}:
        async with connect(tables.database.dsn(other)) as connection:
            for table in ("batches", "batch_items"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(f"SELECT * FROM {tables.service.name}.{table}")  # noqa: S608  (the test's own words)


async def test_where_the_chain_is(tables: Tables) -> None:
    with pytest.raises(UnavailableError) as caught:
        await tables.store.head()
    assert caught.value.reason == "CHAIN_UNKNOWN"
    await tables.world.head(current=BLOCK, plantable=BLOCK + 1, ledger=7)
    assert await tables.store.head() == ChainHead(
        current_block=BLOCK, plantable_block=BLOCK + 1, ledger=7
    )


async def test_who_is_known(tables: Tables) -> None:
    (mine,) = await tables.people(1)
    (others,) = await tables.people(1, await tables.world.pooler())
    await tables.store.check_known(tables.pooler)
    await tables.store.check_known(tables.pooler, mine.farmer_id)
    with pytest.raises(PoolerNotFoundError):
        await tables.store.check_known(PoolerId(new_id()))
    for farmer in (others.farmer_id, new_id()):
        with pytest.raises(FarmerNotFoundError):
            await tables.store.check_known(tables.pooler, farmer)


async def test_a_request_id_is_its_poolers(tables: Tables) -> None:
    people = await tables.people(1)
    other = PoolerId(await tables.world.pooler())
    mine = await tables.batch(people, request_id="same")
    theirs = await tables.batch(people, request_id="same", pooler=other)
    for pooler, batch_id in ((tables.pooler, mine), (other, theirs)):
        found = await tables.store.batch_by_request(pooler, "same")
        assert found == await tables.store.batch(batch_id)
        assert (found.pooler_id, found.block_index, found.digest) == (pooler, BLOCK, b"x")
        assert found.completed_at is None
    assert await tables.store.batch_by_request(tables.pooler, "another") is None
    with pytest.raises(LookupError):
        await tables.store.batch(BatchId(new_id()))
    with pytest.raises(asyncpg.UniqueViolationError):
        await tables.batch(people, request_id="same")


async def test_a_transaction_sees_the_batch_that_it_has_made(tables: Tables) -> None:
    request = BatchRequest(
        pooler_id=tables.pooler, block_index=BLOCK, request_id="mine", digest=b"x"
    )
    nothing: list[list[object]] = [[] for _ in tables.service.columns]
    async with tables.store.database.transaction() as session:
        batch_id = await tables.store.insert_batch(session, request, [], 2, *nothing)
        assert await tables.store.batch_by_request(tables.pooler, "mine") is None
        inside = await tables.store.batch_by_request(tables.pooler, "mine", session)
        assert inside is not None
        assert inside.batch_id == batch_id
    assert await tables.store.batch_by_request(tables.pooler, "mine") == inside


async def test_open_batches_are_told_oldest_first(tables: Tables) -> None:
    people = await tables.people(2)
    first, empty = await tables.batch(people), await tables.batch([])
    await tables.done(people, block=BLOCK + 1)
    last = await tables.batch(people)
    assert await tables.store.open_batches() == [first, empty, last]
    assert await tables.store.record(empty)
    assert await tables.store.open_batches() == [first, last]


async def waits(tables: Tables, pooler: PoolerId, sql: str) -> bool:
    """Whether planning for the pooler waits for another transaction."""
    async with connect(tables.database.dsn(tables.service.name)) as other, other.transaction():
        await other.execute("SET LOCAL lock_timeout = '300ms'")
        try:
            await other.execute(sql, pooler)
        except asyncpg.LockNotAvailableError:
            return True
        return False


async def test_one_plan_at_a_time_for_a_pooler(tables: Tables) -> None:
    mine = load_queries(*tables.service.queries)["lock_pooler"].sql
    async with tables.store.database.transaction() as session:
        await tables.store.lock_pooler(session, tables.pooler)
        assert await waits(tables, tables.pooler, mine)
        assert not await waits(tables, PoolerId(new_id()), mine)
    assert not await waits(tables, tables.pooler, mine)
    # Each service has rows of its own, on which no other role has any right.
    assert f"{tables.service.name}.turns" in mine


async def test_whole_chunks_with_something_open_go_to_wallet(tables: Tables) -> None:
    people = await tables.people(7)
    batch_id = await tables.batch(people)
    await tables.batch(people, block=BLOCK + 1)
    name = f"{tables.service.name}-{batch_id}"
    columns = tables.service.columns[:2]
    items = [(one.farmer_id, *columns) if columns else one.farmer_id for one in people]

    async def sent() -> list[int]:
        chunks = await tables.store.chunks(batch_id)
        for chunk in chunks:
            assert (chunk.request_id, chunk.block_index) == (f"{name}-{chunk.number}", BLOCK)
            # All of a chunk, whatever of it is settled: else wallet would take it for another one.
            start = 2 * chunk.number
            assert chunk.items == tuple(items[start : start + 2])
        return [chunk.number for chunk in chunks]

    assert await sent() == [0, 1, 2, 3]
    settled = [await tables.operation(one) for one in people[:3]]
    await tables.joins(batch_id, 0, *settled[:2])
    await tables.joins(batch_id, 1, settled[2])
    assert not await tables.store.record(batch_id)
    assert await sent() == [1, 2, 3]
    await tables.store.refuse(batch_id, 2, "REFUSED", "by a test")
    assert await sent() == [1, 3]


async def test_a_refusal_is_of_what_is_open_in_its_chunk(tables: Tables) -> None:
    people = await tables.people(4)
    batch_id = await tables.batch(people)
    other = await tables.batch(people)
    operation = await tables.operation(people[0])
    await tables.joins(batch_id, 0, operation)
    assert not await tables.store.record(batch_id)
    await tables.store.refuse(batch_id, 0, "REFUSED", "by a test")
    refused = await tables.world.connection.fetch(
        f"SELECT batch_id, farmer_id, refusal, message FROM {tables.service.name}.batch_items "  # noqa: S608  (the test's own words)
        "WHERE refusal <> ''"
    )
    assert [tuple(row) for row in refused] == [
        (batch_id, people[1].farmer_id, "REFUSED", "by a test")
    ]
    # What was refused is settled: its event is a failure that no operation stands for.
    assert not await tables.store.record(batch_id)
    first, second = await tables.store.events_of_batch(batch_id)
    assert (first.event_id, first.status, first.reason) == (operation, "success", "")
    assert (second.status, second.reason, second.error_message) == (
        "failed",
        "REFUSED",
        "by a test",
    )
    assert (second.transaction_hash, second.ledger, second.fee_charged) == ("", 0, 0)
    # What became an event stays that one, whatever wallet does later.
    await tables.joins(batch_id, 0, await tables.operation(people[1]))
    await tables.store.refuse(batch_id, 1, "REFUSED", "")
    assert await tables.store.record(batch_id)
    assert (await tables.store.events_of_batch(batch_id))[:2] == (first, second)
    assert await tables.world.count(tables.service.events) == len(people)
    assert await tables.store.events_of_batch(other) == ()


async def test_a_batch_records_what_wallet_has_in_its_own_chunks(tables: Tables) -> None:
    people = await tables.people(3)
    one, two = await tables.batch(people), await tables.batch(people)
    failed = await tables.operation(people[0], reason="FEE_CAP")
    await tables.joins(one, 0, failed)
    # Of another chunk than the farmer's, and of another farmer than those of the batch.
    stranger = (await tables.people(1))[0]
    await tables.joins(one, 0, await tables.operation(people[2]))
    await tables.joins(one, 1, await tables.operation(stranger))
    # Of another block.
    await tables.joins(one, 1, await tables.operation(people[2], block=BLOCK - 1))
    assert not await tables.store.record(two)
    assert await tables.world.count(tables.service.events) == 0
    assert not await tables.store.record(one)
    assert await tables.store.events_of_batch(two) == ()
    (event,) = await tables.store.events_of_batch(one)
    assert (event.event_id, event.status, event.reason) == (failed, "failed", "FEE_CAP")
    assert (event.block_index, event.custodial_wallet) == (BLOCK, people[0].address)
    settled_at = await tables.world.connection.fetchval(
        "SELECT settled_at FROM wallet.operations WHERE id = $1", failed
    )
    assert event.settled_at == settled_at
    assert await tables.world.count(tables.service.events) == 1


async def test_what_wallet_does_not_say_is_not_recorded(tables: Tables) -> None:
    people = await tables.people(4)
    batch_id = await tables.batch(people)
    told, tampered, waiting, both = [await tables.operation(one) for one in people]
    # Somebody has another operation of the last farmer's joined to the batch.
    stranger = await tables.operation(people[3], reason="REFUSED")
    await tables.joins(batch_id, 0, told, tampered)
    await tables.joins(batch_id, 1, waiting, both, stranger)
    tables.ends.tampered |= {tampered, stranger}
    tables.ends.open.add(waiting)
    assert not await tables.store.record(batch_id)
    events = {one.farmer_id: one for one in await tables.store.events_of_batch(batch_id)}
    assert events.keys() == {people[place].farmer_id for place in (0, 1, 3)}
    for place, operation in ((0, told), (3, both)):
        event = events[people[place].farmer_id]
        assert (event.event_id, event.status, event.reason) == (operation, "success", "")
    refused = events[people[1].farmer_id]
    assert (refused.status, refused.reason, refused.ledger) == ("failed", "TAMPERED", 0)
    assert refused.event_id != tampered
    assert "not written by wallet" in refused.error_message
    tables.ends.open.clear()
    assert await tables.store.record(batch_id)
    assert await tables.world.count(tables.service.events) == len(people)
    # Nobody is asked about what has its event.
    tables.ends.asked.clear()
    assert await tables.store.record(batch_id)
    assert tables.ends.asked == []


async def test_an_end_that_changed_after_wallet_was_asked_is_not_recorded(tables: Tables) -> None:
    (person,) = await tables.people(1)
    batch_id = await tables.batch([person])
    operation = await tables.operation(person, reason="FEE_CAP")
    await tables.joins(batch_id, 0, operation)
    arguments = [[operation], ["succeeded"], [person.farmer_id]]
    await tables.store.database.execute("record", batch_id, *arguments)
    assert await tables.world.count(tables.service.events) == 0


async def test_an_operation_that_two_batches_share_is_one_event(tables: Tables) -> None:
    people = await tables.people(4)
    batches = [await tables.batch(people) for _ in range(2)]
    operations = [await tables.operation(one) for one in people]
    for batch_id in batches:
        await tables.joins(batch_id, 0, *operations[:2])
        await tables.joins(batch_id, 1, *operations[2:])
    recorded = await asyncio.gather(*(tables.store.record(one) for one in batches * 2))
    assert recorded == [True] * 4
    assert await tables.world.count(tables.service.events) == len(people)
    for batch_id in batches:
        events = await tables.store.events_of_batch(batch_id)
        assert [one.event_id for one in events] == operations
    completed = (await tables.store.batch(batches[0])).completed_at
    assert await tables.store.record(batches[0])
    assert (await tables.store.batch(batches[0])).completed_at == completed


async def events_of(tables: Tables, person: Person) -> list[tuple[int, str]]:
    """Blocks of a farmer's events, with how each ended."""
    rows = await tables.world.connection.fetch(
        f"SELECT block_index, status::text AS status FROM {tables.service.events} "  # noqa: S608  (the test's own words)
        "WHERE farmer_id = $1 ORDER BY block_index, status",
        person.farmer_id,
    )
    return [(row["block_index"], row["status"]) for row in rows]


async def test_what_no_batch_asked_for_is_recorded_once_from_a_block_on(tables: Tables) -> None:
    early, here, failed, asked, other_kind = await tables.people(5)
    await tables.operation(early, block=BLOCK - 1, is_found=True)
    found = await tables.operation(here, is_found=True)
    await tables.operation(here, block=10_000, is_found=True)
    await tables.operation(failed, reason="EXPIRED", is_found=True)
    await tables.operation(asked)
    await tables.world.found(other_kind, BLOCK, "onboard")
    stranger = await tables.stranger()
    await tables.operation(stranger, is_found=True)
    assert await tables.store.record_found(BLOCK) == 3
    assert await tables.store.record_found(BLOCK) == 0
    assert await events_of(tables, here) == [(BLOCK, "success"), (10_000, "success")]
    assert await events_of(tables, failed) == [(BLOCK, "failed")]
    for nothing in (early, asked, other_kind, stranger):
        assert await events_of(tables, nothing) == []
    assert await tables.world.count(tables.service.events, f"id = '{found}'") == 1
    assert await tables.store.record_found(0) == 1
    assert await events_of(tables, early) == [(BLOCK - 1, "success")]
    # No further look goes into a block for what is not to be recorded.
    assert await tables.store.database.many("found_blocks", 0) == []


async def partitions(tables: Tables) -> int:
    """The number of the events' partitions."""
    query = "SELECT count(*) FROM pg_inherits WHERE inhparent = $1::regclass"
    found: int = await tables.world.connection.fetchval(query, tables.service.events)
    return found


async def test_what_somebody_invented_is_not_found(tables: Tables) -> None:
    one, other = await tables.people(2)
    far = await tables.operation(other, block=9_999_000, is_found=True)
    tables.ends.tampered.add(far)
    before = await partitions(tables)
    assert await tables.store.record_found(0) == 0
    # Nothing is made for a block of which nothing is told.
    assert await partitions(tables) == before
    genuine = await tables.operation(one, is_found=True)
    tables.ends.tampered.add(await tables.operation(other, is_found=True))
    assert await tables.store.record_found(0) == 1
    assert await tables.world.count(tables.service.events, f"id = '{genuine}'") == 1
    assert await tables.world.count(tables.service.events) == 1
    assert await tables.store.record_found(0) == 0


async def test_what_an_event_tells_of_is_not_found_again(tables: Tables) -> None:
    (person, other) = await tables.people(2)
    failed = await tables.operation(person, reason="FEE_CAP")
    batch_id = await tables.batch([person])
    await tables.joins(batch_id, 0, failed)
    assert await tables.store.record(batch_id)
    # A failure tells of itself alone, and an event of its farmer and block alone.
    await tables.done([other])
    await tables.done([person], block=BLOCK + 1)
    # Whoever has done it is told of by that: a try that failed besides is nothing new.
    await tables.operation(other, reason="EXPIRED", is_found=True)
    assert await tables.store.record_found(0) == 0
    await tables.operation(person, is_found=True)
    assert await tables.store.record_found(0) == 1
    assert await events_of(tables, person) == [
        (BLOCK, "failed"),
        (BLOCK, "success"),
        (BLOCK + 1, "success"),
    ]
    assert await tables.store.record_found(0) == 0
    assert await events_of(tables, other) == [(BLOCK, "success")]


async def test_what_is_not_known_of_what_was_found_is_told_as_nothing(tables: Tables) -> None:
    done, expired = await tables.people(2)
    for person, reason in ((done, None), (expired, "EXPIRED")):
        await tables.world.settled(
            person,
            BLOCK,
            tables.service.name,
            reason=reason,
            ledger=None,
            is_found=True,
            **tables.service.values,
        )
    assert await tables.store.record_found(0) == 2
    rows = await tables.world.connection.fetch(
        "SELECT farmer_id, transaction_hash, ledger, fee_charged, reason, error_message "  # noqa: S608  (the test's own words)
        f"FROM {tables.service.events} ORDER BY farmer_id"
    )
    assert [tuple(row) for row in rows] == [
        (done.farmer_id, "", 0, 0, "", ""),
        (expired.farmer_id, "", 0, 0, "EXPIRED", ""),
    ]


async def test_a_batch_finds_the_event_of_what_was_found(tables: Tables) -> None:
    people = await tables.people(2)
    operations = [await tables.operation(one, is_found=True) for one in people]
    assert await tables.store.record_found(0) == 2
    batch_id = await tables.batch(people)
    await tables.joins(batch_id, 0, *operations)
    assert await tables.store.record(batch_id)
    events = await tables.store.events_of_batch(batch_id)
    assert [one.event_id for one in events] == operations
    assert await tables.world.count(tables.service.events) == 2


async def test_lists_are_by_pooler_block_and_farmer(tables: Tables) -> None:
    other = PoolerId(await tables.world.pooler())
    first, second = await tables.people(2)
    (theirs,) = await tables.people(1, other)
    await tables.done([first, second])
    await tables.done([first], block=BLOCK + 1)
    await tables.done([theirs], pooler=other)
    newer, older = BLOCK + 1, BLOCK
    everything = [(newer, first.farmer_id), (older, second.farmer_id), (older, first.farmer_id)]
    assert await tables.listed() == everything
    assert await tables.listed(block=older) == everything[1:]
    assert await tables.listed(farmer=first.farmer_id) == [everything[0], everything[2]]
    assert await tables.listed(block=older, farmer=first.farmer_id) == everything[2:]
    assert await tables.listed(block=BLOCK + 2) == []
    assert await tables.listed(pooler=other) == [(older, theirs.farmer_id)]
    with pytest.raises(PoolerNotFoundError):
        await tables.listed(pooler=PoolerId(new_id()))
    with pytest.raises(FarmerNotFoundError):
        await tables.listed(farmer=theirs.farmer_id)


async def test_a_page_begins_after_the_last_one_within_a_block(tables: Tables) -> None:
    people = await tables.people(3)
    # The later a block, the lower its ids: neither key tells of the order alone.
    newer = await tables.done(people[:1], block=BLOCK + 1)
    batch_id = await tables.done(people)
    await tables.done(people[:1], block=BLOCK - 1)
    (newest,) = await tables.store.events_of_batch(newer)
    low, middle, high = sorted(
        await tables.store.events_of_batch(batch_id), key=lambda one: one.event_id.int
    )
    older = (BLOCK - 1, people[0].farmer_id)
    below = [(BLOCK, one.farmer_id) for one in (high, middle, low)]
    assert await tables.listed(before=(BLOCK, high.event_id)) == [*below[1:], older]
    assert await tables.listed(before=(BLOCK, low.event_id)) == [older]
    assert await tables.listed(before=(BLOCK + 1, newest.event_id)) == [*below, older]
    assert await tables.listed(before=(BLOCK, high.event_id), limit=1) == below[1:2]
    asked = (tables.pooler, None, None, None, None, 2)
    assert len(await tables.store.database.many("list_events", *asked)) == 2
    before = (BLOCK, high.event_id)
    assert await tables.listed(before=before, block=BLOCK, farmer=low.farmer_id) == below[2:]


async def test_whose_farmers_these_are_by_their_owner_accounts(tables: Tables) -> None:
    pooler = await tables.world.pooler()
    first, second, nobodys = [await tables.world.farmer(pooler) for _ in range(3)]
    await tables.world.owned(first, "GA")
    await tables.world.owned(second, "GB")

    async def accounts(*ids: UUID) -> set[str]:
        return await tables.store.accounts_of_farmers(list(map(str, ids)))

    assert await accounts(first.farmer_id) == {"GA"}
    assert await accounts(first.farmer_id, second.farmer_id) == {"GA", "GB"}
    assert await accounts(nobodys.farmer_id) == {""}
    assert await accounts(first.farmer_id, new_id()) == {"GA", ""}
    # Another account speaks for it from then on.
    await tables.world.owned(first, "GB")
    assert await accounts(first.farmer_id, second.farmer_id) == {"GB"}
