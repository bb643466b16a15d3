"""harvest's own queries over real tables: what each takes, what it leaves, and in which order."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from libs.batches.model import HORIZON
from libs.common.db.pool import Session
from libs.common.db.queries import load_queries
from libs.common.ids import FarmerId, PoolerId, new_id
from services.harvest.domain.model import Candidate, PendingBlock
from services.harvest.store.store import QUERIES, Store
from tests.support.database import DatabaseAccess
from tests.support.ends import Ends
from tests.support.pool_world import Person, PoolWorld, open_tables_of
from tests.support.table_rows import insert_event, insert_row

BLOCK = 700
#: The block that is open.
NEXT = BLOCK + 1
ALL = 99
#: The largest numbers of the columns.
MAX_I32, MAX_I64 = 2**31 - 1, 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Tables:
    """harvest's store, and all rights besides."""

    store: Store
    world: PoolWorld
    pooler: PoolerId

    async def person(self) -> Person:
        """A farmer of the first pooler."""
        return await self.world.farmer(self.pooler)

    async def insert(self, table: str, **values: object) -> None:
        """Write one row."""
        await insert_row(self.world.connection, table, **values)

    async def event(
        self,
        table: str,
        person: Person,
        *,
        block: int = BLOCK,
        pooler: UUID | None = None,
        reason: str = "",
    ) -> UUID:
        """An event; it is a failure when there is a reason."""
        return await insert_event(
            self.world.connection,
            table,
            farmer=person.farmer_id,
            pooler=pooler or self.pooler,
            block=block,
            reason=reason,
            custodial_wallet=person.address,
        )

    async def pending(
        self, person: Person, *, block: int = BLOCK, pooler: UUID | None = None, failures: int = 0
    ) -> None:
        """Something to harvest, with nothing else of the same farmer and block."""
        await self.insert(
            "harvest.pending",
            block_index=block,
            farmer_id=person.farmer_id,
            pooler_id=pooler or self.pooler,
            failures=failures,
        )

    async def batch(self, *, block: int = BLOCK, is_open: bool = True) -> UUID:
        """A batch without items."""
        batch_id = new_id()
        await self.insert(
            "harvest.batches",
            id=batch_id,
            request_id=str(batch_id),
            pooler_id=self.pooler,
            block_index=block,
            digest=b"",
        )
        if not is_open:
            await self.world.connection.execute(
                "UPDATE harvest.batches SET completed_at = now() WHERE id = $1", batch_id
            )
        return batch_id

    async def item(self, batch_id: UUID, person: Person, event_id: UUID | None = None) -> None:
        """An item of a batch."""
        await self.insert(
            "harvest.batch_items",
            batch_id=batch_id,
            farmer_id=person.farmer_id,
            id=new_id(),
            chunk=0,
            custodial_wallet=person.address,
            event_id=event_id,
        )

    async def blocks(
        self, pooler: PoolerId | None = None, *, limit: int = ALL, after: int = 1
    ) -> list[PendingBlock]:
        """What a sweep finds."""
        return await self.store.pending_blocks(
            pooler_id=pooler, current_block=NEXT, limit=limit, after=after
        )

    async def count(self, pooler: PoolerId | None = None) -> int:
        """How many harvests are open."""
        return await self.store.count_pending(pooler_id=pooler, current_block=NEXT)


@pytest.fixture
async def harvest(database: DatabaseAccess) -> AsyncIterator[Tables]:
    """A store by harvest's own role, and one pooler."""
    async with open_tables_of(database, "harvest", QUERIES) as (world, opened):
        yield Tables(
            store=Store(opened, Ends()), world=world, pooler=PoolerId(await world.pooler())
        )


# Candidates ------------------------------------------------------------------------------------


async def candidates(harvest: Tables) -> list[Candidate]:
    """Who is to be harvested in the block."""
    async with harvest.store.database.session() as session:
        return await harvest.store.candidates(session, harvest.pooler, BLOCK)


async def test_candidates_are_those_who_worked_in_the_order_of_their_ids(harvest: Tables) -> None:
    people = [await harvest.person() for _ in range(6)]
    for person in reversed(people):
        await harvest.event("work.works", person)
        # A better hash in the same block.
        await harvest.event("work.works", person)
    elsewhere, failed, strange = [await harvest.person() for _ in range(3)]
    await harvest.event("work.works", elsewhere, block=BLOCK - 1)
    await harvest.event("work.works", failed, reason="REFUSED")
    await harvest.event("work.works", strange, pooler=await harvest.world.pooler())
    assert await candidates(harvest) == [
        Candidate(farmer_id=FarmerId(one.farmer_id), address=one.address)
        for one in sorted(people, key=lambda one: one.farmer_id)
    ]


async def test_who_was_harvested_is_no_candidate(harvest: Tables) -> None:
    paid, in_vain, again, before = [await harvest.person() for _ in range(4)]
    for person in (paid, in_vain, again, before):
        await harvest.event("work.works", person)
    await harvest.event("harvest.harvests", paid)
    await harvest.event("harvest.harvests", in_vain, reason="BLOCK_EXPIRED")
    await harvest.event("harvest.harvests", again, reason="FEE_CAP")
    await harvest.event("harvest.harvests", before, block=BLOCK - 1)
    assert {one.farmer_id for one in await candidates(harvest)} == {
        again.farmer_id,
        before.farmer_id,
    }


# What is pending -------------------------------------------------------------------------------


async def test_pending_blocks_are_closed_and_not_too_old(harvest: Tables) -> None:
    person = await harvest.person()
    oldest = NEXT - HORIZON
    for block in (NEXT + 1, NEXT, BLOCK, oldest, oldest - 1):
        await harvest.pending(person, block=block)
    assert [one.block_index for one in await harvest.blocks()] == [oldest, BLOCK]
    assert await harvest.count() == 2


async def test_pending_blocks_come_by_block_and_pooler(harvest: Tables) -> None:
    poolers = sorted([PoolerId(await harvest.world.pooler()) for _ in range(4)])
    blocks = [BLOCK - 2, BLOCK - 1, BLOCK]
    # So many that counting comes before sorting, and leaves no order of its own.
    for farmers, own in ((200, poolers), (1, poolers[-1:])):
        await harvest.world.connection.execute(
            "INSERT INTO harvest.pending SELECT b, gen_random_uuid(), p FROM "
            "unnest($1::int[]) AS b, unnest($2::uuid[]) AS p, generate_series(1, $3::int)",
            blocks,
            own,
            farmers,
        )
    await harvest.world.connection.execute("ANALYZE harvest.pending")
    expected = [
        PendingBlock(pooler_id=pooler, block_index=block, farmers=200 + (pooler == poolers[-1]))
        for block in blocks
        for pooler in poolers
    ]
    assert await harvest.blocks() == expected
    assert await harvest.blocks(limit=2) == expected[:2]
    first = [one for one in expected if one.pooler_id == poolers[0]]
    assert await harvest.blocks(poolers[0]) == first
    assert await harvest.count() == 3 * 801
    assert await harvest.count(poolers[0]) == 600


@pytest.mark.parametrize(
    ("after", "blocks"), [(1, [BLOCK - 2, BLOCK]), (3, [BLOCK - 2, BLOCK]), (4, [])]
)
async def test_a_poolers_blocks_wait_for_its_oldest_and_come_together(
    harvest: Tables, after: int, blocks: list[int]
) -> None:
    person = await harvest.person()
    for block in (BLOCK, BLOCK - 2):
        await harvest.pending(person, block=block)
    assert [one.block_index for one in await harvest.blocks(after=after)] == blocks
    # Those of another pooler are not older for that.
    other = PoolerId(await harvest.world.pooler())
    await harvest.world.connection.execute(
        "INSERT INTO harvest.pending VALUES ($1, gen_random_uuid(), $2)", BLOCK, other
    )
    found = await harvest.blocks(other, after=after)
    assert [one.block_index for one in found] == ([BLOCK] if after == 1 else [])
    found = await harvest.blocks(after=after)
    assert [one.pooler_id for one in found].count(other) == (after == 1)


async def test_what_was_harvested_is_not_pending(harvest: Tables) -> None:
    paid, again, *before = [await harvest.person() for _ in range(4)]
    await harvest.event("harvest.harvests", paid)
    await harvest.event("harvest.harvests", again, reason="FEE_CAP")
    for person in before:
        await harvest.event("harvest.harvests", person, block=BLOCK - 1)
    for person in (paid, again, *before):
        await harvest.pending(person)
    assert [one.farmers for one in await harvest.blocks()] == [3]
    assert await harvest.count() == 3


async def test_what_an_open_batch_has_on_its_way_is_not_asked_for(harvest: Tables) -> None:
    on_its_way, *people = [await harvest.person() for _ in range(7)]
    await harvest.item(await harvest.batch(), on_its_way)
    # Items that are settled, of batches that are over, and of other blocks; and nobody's batch.
    for number, (batch_id, event_id) in enumerate(
        (
            (await harvest.batch(), new_id()),
            (await harvest.batch(is_open=False), None),
            (await harvest.batch(block=BLOCK - 1), None),
        )
    ):
        for person in people[2 * number : 2 * number + 2]:
            await harvest.item(batch_id, person, event_id)
    await harvest.batch()
    for person in (on_its_way, *people):
        await harvest.pending(person)
    assert [one.farmers for one in await harvest.blocks()] == [6]
    # It is open all the same.
    assert await harvest.count() == 7


@pytest.mark.parametrize(
    ("failures", "seconds", "is_due"),
    [
        (0, 0, True),
        (1, 60, True),
        (1, 59, False),
        (1, 0, False),
        (1, -1, True),  # a wrong clock has put it into the future
        (2, 120, True),
        (2, 119, False),
        (3, 240, True),
        (6, 1920, True),
        (6, 1919, False),
        (7, 1920, True),
        (7, 1919, False),
    ],
)
async def test_what_has_failed_waits_twice_as_long_each_time(
    harvest: Tables, failures: int, seconds: int, is_due: bool
) -> None:
    person, connection = await harvest.person(), harvest.world.connection
    session = Session(connection, load_queries(*QUERIES))  # type: ignore[arg-type]
    asked = (None, NEXT, NEXT - HORIZON, ALL)
    async with connection.transaction():
        await harvest.pending(person, failures=failures)
        # To the moment of this transaction, which is when it looks, too.
        await connection.execute(
            "UPDATE harvest.pending SET failed_at = now() - make_interval(secs => $1)", seconds
        )
        assert len(await session.many("pending_blocks", *asked, 60.0, 1)) == is_due
        # Who asks for everything gets everything.
        assert len(await session.many("pending_blocks", *asked, None, 1)) == 1


# Farmers ---------------------------------------------------------------------------------------


async def test_earnings_are_a_farmers_own(harvest: Tables) -> None:
    people = [await harvest.person() for _ in range(2)]
    for number, person in enumerate(people):
        await harvest.world.connection.execute(
            "INSERT INTO harvest.balances VALUES ($1, $2, $2, 1, now())", person.farmer_id, number
        )
    for number, person in enumerate(people):
        found = await harvest.store.balance(FarmerId(person.farmer_id))
        assert found is not None
        assert (found.farmer_id, found.current_balance) == (person.farmer_id, number)
    assert await harvest.store.balance(FarmerId(new_id())) is None


async def test_each_harvest_adds_to_the_earnings(harvest: Tables) -> None:
    person = await harvest.person()
    for block, reward in ((BLOCK, 3), (BLOCK + 1, 5), (BLOCK + 2, 9)):
        await harvest.world.found(person, block, "harvest", amount=reward, stake_returned=7)
    assert await harvest.store.record_found(0) == 3
    found = await harvest.store.balance(FarmerId(person.farmer_id))
    assert found is not None
    assert (found.current_balance, found.total_rewards, found.harvests) == (17, 17, 3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((MAX_I64 - 2, 1, 1), (MAX_I64, 4, 2)),
        ((1, MAX_I64 - 2, 1), (4, MAX_I64, 2)),
        ((1, 1, MAX_I32), (4, 4, MAX_I32)),
    ],
)
async def test_earnings_that_are_at_their_end_stay_there(
    harvest: Tables, before: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    person = await harvest.person()
    await harvest.world.connection.execute(
        "INSERT INTO harvest.balances VALUES ($1, $2, $3, $4, now())", person.farmer_id, *before
    )
    await harvest.world.found(person, BLOCK, "harvest", amount=3, stake_returned=7)
    assert await harvest.store.record_found(0) == 1
    found = await harvest.store.balance(FarmerId(person.farmer_id))
    assert found is not None
    assert (found.current_balance, found.total_rewards, found.harvests) == after


async def test_a_farmer_exists_or_not(harvest: Tables) -> None:
    person = await harvest.person()
    assert await harvest.store.farmer_exists(FarmerId(person.farmer_id))
    assert not await harvest.store.farmer_exists(FarmerId(new_id()))


async def test_owners_of_farmers_are_told_once(harvest: Tables) -> None:
    other = await harvest.world.pooler()
    own = [(await harvest.person()).farmer_id for _ in range(2)]
    strange = (await harvest.world.farmer(other)).farmer_id

    async def owners(*farmers: UUID) -> set[str]:
        return await harvest.store.owners_of_farmers([str(one) for one in farmers])

    assert await owners(*own) == {str(harvest.pooler)}
    assert await owners(strange) == {str(other)}
    assert await owners(*own, strange) == {str(harvest.pooler), str(other)}
    assert await owners(new_id()) == {""}
    assert len(await harvest.store.database.many("owners_of_farmers", own)) == 1
