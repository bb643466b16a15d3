"""plant's queries over real tables: what each takes, what it leaves, and in which order."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

import asyncpg
import pytest

from libs.batches.listing import EventFilter
from libs.batches.model import FarmerNotFoundError, PoolerNotFoundError
from libs.common.db.pool import Database
from libs.common.ids import BatchId, FarmerId, PoolerId, new_id
from services.plant.domain.model import PlannedPlant, PlantRequest
from services.plant.store.store import QUERIES, Store
from tests.support.database import DatabaseAccess, connect
from tests.support.ends import Ends
from tests.support.pool_world import Person, PoolWorld, eventually, open_tables_of
from tests.support.table_rows import store_backwards

BLOCK = 41
#: Of an operation that is not settled as succeeded: nobody knows a ledger.
NO_LEDGER = 0


def asked(
    pooler: PoolerId, *, capacity: int, sitting_out: frozenset[FarmerId] = frozenset()
) -> PlantRequest:
    """A call of Plant."""
    return PlantRequest(
        pooler_id=pooler,
        block_index=BLOCK,
        capacity=capacity,
        sitting_out=sitting_out,
        request_id=str(new_id()),
        digest=b"",
    )


@dataclass(frozen=True, kw_only=True)
class Tables:
    """plant's store, and all rights besides."""

    store: Store
    database: Database
    world: PoolWorld
    pooler: PoolerId

    async def plan(
        self,
        people: list[tuple[Person, int]],
        *,
        block: int = BLOCK,
        request_id: str = "",
        pooler: UUID | None = None,
    ) -> BatchId:
        """A batch of farmers, each in the chunk with a number; each stakes 250."""
        await self.store.ensure_partition(block)
        request = PlantRequest(
            pooler_id=PoolerId(pooler or self.pooler),
            block_index=block,
            capacity=0,
            request_id=request_id or str(new_id()),
            digest=b"",
        )
        plan = [
            PlannedPlant(farmer_id=FarmerId(one.farmer_id), address=one.address, stake=250)
            for one, _ in people
        ]
        async with self.database.transaction() as session:
            batch = await self.store.insert_plan(session, request, plan, len(plan))
        await self.world.connection.executemany(
            "UPDATE plant.batch_items SET chunk = $3 WHERE batch_id = $1 AND farmer_id = $2",
            [(batch, one.farmer_id, chunk) for one, chunk in people],
        )
        return batch

    async def people(self, count: int) -> list[Person]:
        """Farmers in the order of their ids, which their rows are not in."""
        found = [await self.world.farmer(self.pooler) for _ in range(count)]
        found.sort(key=lambda one: one.farmer_id)
        await store_backwards(
            self.world.connection, "registry.farmers", [one.farmer_id for one in found]
        )
        return found

    async def settled(
        self,
        person: Person,
        *,
        block: int = BLOCK,
        reason: str | None = None,
        found: bool = False,
        kind: str = "plant",
        names: tuple[str, ...] = (),
    ) -> UUID:
        """A settled operation of wallet's, in the wallet's batches with these names."""
        operation = new_id()
        is_work = kind == "work"
        await self.world.connection.execute(
            "INSERT INTO wallet.operations (id, kind, wallet_id, block_index, state, amount, "
            "fee_charged, ledger, reason, error_message, settled_at, is_found, found_hash, zeros) "
            "VALUES ($1, $2::wallet.operation_kind, $3, $4, $5::wallet.operation_state, 77, 9, $6, "
            "$7, $8, now(), $9, $10, $11)",
            operation,
            kind,
            person.wallet_id,
            block,
            "failed" if reason else "succeeded",
            None if reason else 103,
            reason,
            "in words" if reason else "",
            found,
            "ab" * 32 if found and not reason else None,
            4 if is_work else None,
        )
        for name in names:
            await self.world.connection.execute(
                "INSERT INTO wallet.batches (request_id, kind, block_index, arguments_hash) "
                "VALUES ($1, 'plant', $2, sha256('')) ON CONFLICT DO NOTHING",
                name,
                block,
            )
            await self.world.connection.execute(
                "INSERT INTO wallet.batch_operations VALUES ($1, $2)", name, operation
            )
        return operation

    async def events(self) -> list[tuple[object, ...]]:
        """All plantings in the order in which they were written."""
        rows = await self.world.connection.fetch(
            "SELECT farmer_id, id, stake_amount, transaction_hash, ledger, fee_charged, "
            "status::text, reason, error_message FROM plant.plantings ORDER BY block_index, ctid"
        )
        return [tuple(row) for row in rows]

    async def event_ids(self, batch: BatchId) -> dict[UUID, UUID | None]:
        """The event of each farmer in a batch."""
        rows = await self.world.connection.fetch(
            "SELECT farmer_id, event_id FROM plant.batch_items WHERE batch_id = $1", batch
        )
        return {row["farmer_id"]: row["event_id"] for row in rows}


@pytest.fixture
async def plant(database: DatabaseAccess) -> AsyncIterator[Tables]:
    """A store by plant's own role, and one pooler."""
    async with open_tables_of(database, "plant", QUERIES) as (world, opened):
        pooler = PoolerId(await world.pooler())
        yield Tables(store=Store(opened, Ends()), database=opened, world=world, pooler=pooler)


def chunk_name(batch: BatchId, number: int) -> str:
    """What wallet knows a chunk by."""
    return f"plant-{batch}-{number}"


# Poolers, batches ------------------------------------------------------------------------------


async def test_a_pooler_is_active_or_not_or_unknown(plant: Tables) -> None:
    idle = PoolerId(await plant.world.pooler(active=False))
    asked = (plant.pooler, idle, PoolerId(new_id()))
    assert [await plant.store.pooler_is_active(one) for one in asked] == [True, False, None]


async def test_a_filter_names_a_pooler_and_a_farmer_of_its_own(plant: Tables) -> None:
    own = await plant.world.farmer(plant.pooler)
    strange = await plant.world.farmer(await plant.world.pooler())

    async def check(pooler: UUID, farmer: UUID | None) -> None:
        await plant.store.check_known(PoolerId(pooler), farmer)

    await check(plant.pooler, None)
    await check(plant.pooler, own.farmer_id)
    for farmer in (strange.farmer_id, new_id()):
        with pytest.raises(FarmerNotFoundError):
            await check(plant.pooler, farmer)
    with pytest.raises(PoolerNotFoundError):
        await check(new_id(), None)


async def test_a_request_id_is_a_poolers_own(plant: Tables) -> None:
    other = PoolerId(await plant.world.pooler())
    batches = [await plant.plan([], request_id="same", pooler=who) for who in (plant.pooler, other)]
    for who, batch in zip((plant.pooler, other), batches, strict=True):
        found = await plant.store.batch_by_request(who, "same")
        assert found is not None
        assert found.batch_id == batch
        assert (await plant.store.batch(batch)).pooler_id == who
    assert await plant.store.batch_by_request(plant.pooler, "another") is None


async def test_open_batches_are_told_oldest_first(plant: Tables) -> None:
    person = await plant.world.farmer(plant.pooler)
    ids = sorted(new_id() for _ in range(3))
    for batch_id in reversed(ids):
        await plant.world.connection.execute(
            "INSERT INTO plant.batches (id, request_id, pooler_id, block_index, digest) "
            "VALUES ($1::uuid, $1::uuid::text, $2, $3, '')",
            batch_id,
            plant.pooler,
            BLOCK,
        )
    done = await plant.plan([])
    waiting = await plant.plan([(person, 0)])
    assert await plant.store.record(done)
    assert await plant.store.open_batches() == [*ids, waiting]


# Candidates ------------------------------------------------------------------------------------


async def test_candidates_are_those_who_can_plant_the_first_registered_first(plant: Tables) -> None:
    people = await plant.people(5)
    planted, elsewhere, failed, *rest = people
    await plant.world.connection.execute(
        "UPDATE registry.farmers SET stake_percentage = 1 WHERE id = $1", failed.farmer_id
    )
    await plant.world.planted(plant.pooler, planted, BLOCK)
    await plant.world.planted(plant.pooler, elsewhere, BLOCK + 1)
    batch = await plant.plan([(failed, 0)])
    await plant.store.refuse(batch, 0, "FEE_CAP", "")
    assert await plant.store.record(batch)
    await plant.world.farmer(plant.pooler, funded=False)
    await plant.world.farmer(plant.pooler, trustline=False)
    await plant.world.farmer(plant.pooler, status="leaving")
    await plant.world.farmer(await plant.world.pooler())

    async def candidates(limit: int) -> list[UUID]:
        async with plant.database.session() as session:
            found = await plant.store.candidates(session, asked(plant.pooler, capacity=limit))
        assert {one.balance for one in found} == {1_000}
        stakes = {one.farmer_id: one.stake_bps for one in found}
        assert stakes.pop(FarmerId(failed.farmer_id)) == 10_000
        assert set(stakes.values()) == {2_500}
        return [one.farmer_id for one in found]

    expected = [one.farmer_id for one in (elsewhere, failed, *rest)]
    assert await candidates(100) == expected
    assert await candidates(2) == expected[:2]


async def test_who_sits_out_is_no_candidate_and_takes_nobodys_place(plant: Tables) -> None:
    people = await plant.people(4)
    first, *rest = [FarmerId(one.farmer_id) for one in people]
    request = asked(plant.pooler, capacity=2, sitting_out=frozenset({first, rest[1]}))
    async with plant.database.session() as session:
        found = await plant.store.candidates(session, request)
    assert [one.farmer_id for one in found] == [rest[0], rest[2]]


# Chunks ----------------------------------------------------------------------------------------


async def test_chunks_with_something_open_are_told_whole(plant: Tables) -> None:
    people = await plant.people(7)
    chunks = (2, 1, 1, 0, 3, 3, 2)
    batch = await plant.plan(list(zip(reversed(people), chunks, strict=True)))
    await plant.plan([(people[0], 3)])  # somebody else's chunk 3
    by_chunk = {
        number: [
            one for one, other in zip(reversed(people), chunks, strict=True) if other == number
        ]
        for number in range(4)
    }
    # 0 and 3 are over, 1 has one that is not, 2 was refused.
    names = [chunk_name(batch, number) for number in range(4)]
    for number in (0, 3):
        for one in by_chunk[number]:
            await plant.settled(one, names=(names[number],))
    await plant.settled(by_chunk[1][0], names=(names[1],))
    assert not await plant.store.record(batch)
    found = await plant.store.chunks(batch)
    assert [chunk.number for chunk in found] == [1, 2]
    assert [chunk.request_id for chunk in found] == names[1:3]
    for chunk in found:
        expected = sorted(one.farmer_id for one in by_chunk[chunk.number])
        assert [farmer for farmer, _ in chunk.items] == expected
        assert {stake for _, stake in chunk.items} == {250}
    await plant.store.refuse(batch, 2, "REFUSED", "why")
    assert [chunk.number for chunk in await plant.store.chunks(batch)] == [1]


async def test_a_refusal_is_of_what_is_open_in_one_chunk_of_one_batch(plant: Tables) -> None:
    done, open_one, beside = await plant.people(3)
    batch = await plant.plan([(done, 0), (open_one, 0), (beside, 1)])
    other = await plant.plan([(open_one, 0)])
    await plant.settled(done, names=(chunk_name(batch, 0),))
    await plant.store.record(batch)
    await plant.store.refuse(batch, 0, "REFUSED", "why")
    rows = await plant.world.connection.fetch(
        "SELECT batch_id, farmer_id, message FROM plant.batch_items WHERE refusal = 'REFUSED'"
    )
    assert [tuple(row) for row in rows] == [(batch, open_one.farmer_id, "why")]
    assert await plant.event_ids(other) == {open_one.farmer_id: None}


# Events ----------------------------------------------------------------------------------------


async def test_what_is_settled_becomes_an_event_and_nothing_else_does(plant: Tables) -> None:
    good, bad, refused, late, strange, past = people = await plant.people(6)
    chunks = [(good, 0), (bad, 0), (refused, 1), (late, 2), (strange, 2), (past, 2)]
    batch = await plant.plan(list(reversed(chunks)))
    other = await plant.plan([(good, 0), (late, 0)])
    names = [chunk_name(batch, number) for number in range(3)]
    succeeded = await plant.settled(good, names=(names[0],))
    failed = await plant.settled(bad, reason="FEE_CAP", names=(names[0],))
    # Neither what nobody asked for by this name, nor what is of another block, is this batch's.
    await plant.settled(strange, names=(chunk_name(other, 2),))
    await plant.settled(past, block=BLOCK - 1, names=(names[2],))
    # What is settled of another batch waits for that one's turn.
    await plant.settled(late, names=(chunk_name(other, 0),))
    await plant.store.refuse(batch, 1, "REFUSED", "too much")
    assert not await plant.store.record(batch)
    items = await plant.event_ids(batch)
    own = items[refused.farmer_id]
    assert await plant.events() == [
        (good.farmer_id, succeeded, 77, "", 103, 9, "success", "", ""),
        (bad.farmer_id, failed, 77, "", NO_LEDGER, 9, "failed", "FEE_CAP", "in words"),
        (refused.farmer_id, own, 250, "", NO_LEDGER, 0, "failed", "REFUSED", "too much"),
    ]
    assert items == {
        **dict.fromkeys((one.farmer_id for one in people), None),
        good.farmer_id: succeeded,
        bad.farmer_id: failed,
        refused.farmer_id: own,
    }
    assert set((await plant.event_ids(other)).values()) == {None}
    before = await plant.events()
    assert not await plant.store.record(batch)
    assert await plant.events() == before


async def test_an_operation_that_two_batches_share_is_one_event(plant: Tables) -> None:
    person = await plant.world.farmer(plant.pooler)
    batches = [await plant.plan([(person, 0)]) for _ in range(2)]
    operation = await plant.settled(person, names=tuple(chunk_name(one, 0) for one in batches))
    for batch in batches:
        assert await plant.store.record(batch)
        assert await plant.event_ids(batch) == {person.farmer_id: operation}
        [event] = await plant.store.events_of_batch(batch)
        assert event.event_id == operation
    assert len(await plant.events()) == 1


async def test_a_batch_is_complete_once_and_by_its_own_items(plant: Tables) -> None:
    one, two = await plant.people(2)
    batch, other = await plant.plan([(one, 0), (two, 0)]), await plant.plan([(two, 0)])
    await plant.settled(one, names=(chunk_name(batch, 0),))
    assert not await plant.store.record(batch)
    await plant.settled(two, names=(chunk_name(batch, 0),))
    assert await plant.store.record(batch)
    completed = (await plant.store.batch(batch)).completed_at
    assert completed is not None
    assert (await plant.store.batch(other)).completed_at is None
    assert await plant.store.record(batch)
    assert (await plant.store.batch(batch)).completed_at == completed


async def test_the_events_of_a_batch_are_its_own_in_the_order_of_farmers(plant: Tables) -> None:
    people = await plant.people(3)
    batch = await plant.plan([(one, 0) for one in reversed(people)])
    operations = [await plant.settled(one, names=(chunk_name(batch, 0),)) for one in people]
    assert await plant.store.record(batch)
    other = await plant.plan([(people[0], 0)], block=BLOCK + 1)
    await plant.settled(people[0], block=BLOCK + 1, names=(chunk_name(other, 0),))
    assert await plant.store.record(other)
    # An id counts with its block only.
    await plant.world.connection.execute(
        "INSERT INTO plant.plantings SELECT (jsonb_populate_record(p, '{\"block_index\": 43}')).* "
        "FROM plant.plantings AS p WHERE p.id = $1",
        operations[0],
    )
    found = await plant.store.events_of_batch(batch)
    assert [event.event_id for event in found] == operations
    assert {event.block_index for event in found} == {BLOCK}


async def test_plantings_are_listed_newest_first_by_pooler_block_and_farmer(plant: Tables) -> None:
    one, two = await plant.people(2)
    stranger = PoolerId(await plant.world.pooler())
    for block in (BLOCK, BLOCK - 1, BLOCK + 1):
        for person in (one, two):
            await plant.world.planted(plant.pooler, person, block)
    await plant.world.planted(stranger, await plant.world.farmer(stranger), BLOCK)

    async def keys(
        block: int | None = None,
        farmer: UUID | None = None,
        before: tuple[int, UUID] | None = None,
        limit: int = 99,
    ) -> list[tuple[int, UUID]]:
        chosen = EventFilter(
            pooler_id=plant.pooler, block_index=block, farmer_id=farmer, before=before, limit=limit
        )
        page = await plant.store.page(chosen)
        found = page.events
        assert farmer is None or {event.farmer_id for event in found} == {farmer}
        return [(event.block_index, event.event_id) for event in found]

    everything = await keys()
    assert len(everything) == 6
    assert all(first > second for first, second in pairwise(everything))
    assert await keys(block=BLOCK) == everything[2:4]
    assert [block for block, _ in await keys(farmer=two.farmer_id)] == [42, 41, 40]
    assert await keys(before=everything[1]) == everything[2:]
    assert await keys(limit=1) == everything[:1]


# What reconciliation found ---------------------------------------------------------------------


async def blocks_of(plant: Tables, first: int) -> list[int]:
    """The blocks with something to record, as the query tells them."""
    return [row["block_index"] for row in await plant.database.many("found_blocks", first)]


async def recorded(plant: Tables, block: int) -> int:
    """How many events one block's statement writes."""
    rows = await plant.database.many("found_operations", block)
    told = [[row[name] for row in rows] for name in ("operation_id", "state")]
    row = await plant.database.one("record_found", block, *told)
    assert row is not None
    return int(row["recorded"])


async def test_what_was_found_becomes_events_block_by_block(plant: Tables) -> None:
    people = await plant.people(4)
    one, two, three, four = people
    late = await plant.settled(two, block=43, found=True)
    twice = [await plant.settled(two, found=True, reason="REFUSED") for _ in range(2)]
    found = await plant.settled(one, found=True)
    await plant.settled(three)  # a batch asked for it
    await plant.settled(four, found=True, kind="harvest")
    nobody = Person(farmer_id=new_id(), wallet_id=new_id(), address="G" * 56)
    await plant.world.connection.execute(
        "INSERT INTO wallet.wallets (id, kind, farmer_id, pooler_id, address) "
        "VALUES ($1, 'farmer', $2, $3, $4)",
        nobody.wallet_id,
        nobody.farmer_id,
        plant.pooler,
        nobody.address,
    )
    await plant.settled(nobody, found=True)  # not registered yet
    assert await blocks_of(plant, BLOCK) == [BLOCK, 43]
    assert await blocks_of(plant, BLOCK + 1) == [43]
    await plant.store.ensure_partition(BLOCK)
    assert await recorded(plant, 43) == 1  # its own block's
    assert await plant.store.record_found(BLOCK) == 3
    failed = (77, "", NO_LEDGER, 9, "failed", "REFUSED", "in words")
    succeeded = (77, "ab" * 32, 103, 9, "success", "", "")
    assert await plant.events() == [
        (one.farmer_id, found, *succeeded),
        *((two.farmer_id, operation, *failed) for operation in sorted(twice)),
        (two.farmer_id, late, *succeeded),
    ]
    assert await blocks_of(plant, 0) == []
    assert await plant.store.record_found(0) == 0


async def test_found_blocks_are_told_in_their_order(plant: Tables) -> None:
    person = await plant.world.farmer(plant.pooler)
    for block in (44, 42, 43, 41):
        await plant.settled(person, block=block, found=True)
    assert await blocks_of(plant, 0) == [41, 42, 43, 44]


async def test_what_an_event_tells_already_is_not_found_again(plant: Tables) -> None:
    planted, failed, elsewhere = await plant.people(3)
    await plant.world.planted(plant.pooler, planted, BLOCK)
    batch = await plant.plan([(failed, 0)])
    await plant.settled(failed, reason="FEE_CAP", names=(chunk_name(batch, 0),))
    assert await plant.store.record(batch)
    await plant.world.planted(plant.pooler, elsewhere, BLOCK + 1)
    await plant.settled(planted, found=True)
    await plant.settled(planted, found=True, reason="REFUSED")
    assert await blocks_of(plant, 0) == []
    assert await recorded(plant, BLOCK) == 0
    # What failed, and what is of another block, tells nothing of it.
    found = []
    for one in (failed, elsewhere):
        found.append(await plant.settled(one, found=True))
        assert await blocks_of(plant, 0) == [BLOCK]
        assert await plant.store.record_found(0) == 1
    told = {event[1] for event in await plant.events()}
    assert set(found) < told
    assert await plant.store.record_found(0) == 0


async def test_two_processes_write_what_was_found_once(
    plant: Tables, database: DatabaseAccess
) -> None:
    person = await plant.world.farmer(plant.pooler)
    operation = await plant.settled(person, found=True)
    await plant.store.ensure_partition(BLOCK)
    async with connect(database.admin_dsn) as other:
        faster = other.transaction()
        await faster.start()
        await other.execute(
            "INSERT INTO plant.plantings (id, block_index, farmer_id, pooler_id, custodial_wallet, "
            "stake_amount, transaction_hash, ledger, fee_charged, status, planted_at) "
            "VALUES ($1, $2, $3, $4, '', 0, '', 0, 0, 'success', now())",
            operation,
            BLOCK,
            person.farmer_id,
            plant.pooler,
        )
        slower = asyncio.create_task(plant.store.record_found(0))

        async def waits() -> bool:
            return bool(
                await plant.world.connection.fetchval(
                    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"
                )
            )

        await eventually(waits)
        await faster.commit()
        assert await slower == 0
    assert len(await plant.events()) == 1


# One at a time ---------------------------------------------------------------------------------


async def test_plans_of_one_pooler_wait_for_one_another(plant: Tables) -> None:
    async with plant.database.transaction() as first:
        await plant.store.lock_pooler(first, plant.pooler)
        async with plant.database.transaction() as second:
            await plant.store.lock_pooler(second, PoolerId(new_id()))  # another one's does not
            await second.connection.execute("SET LOCAL lock_timeout = '50ms'")
            with pytest.raises(asyncpg.LockNotAvailableError):
                async with second.connection.transaction():
                    await plant.store.lock_pooler(second, plant.pooler)
