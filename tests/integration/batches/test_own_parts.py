"""What an event means to each service: the parts that the shared SQL takes from it."""

import pytest

from libs.batches.listing import EventFilter
from services.harvest.domain.model import Harvest
from services.plant.domain.model import Planting
from services.work.domain.model import Work
from tests.support.batch_tables import BLOCK, SERVICES, Tables, open_tables
from tests.support.database import DatabaseAccess
from tests.support.pool_world import Person

PLANT, WORK, HARVEST = SERVICES


async def newest(tables: Tables, person: Person) -> object:
    """The last event of a farmer."""
    chosen = EventFilter(
        pooler_id=tables.pooler,
        block_index=None,
        farmer_id=person.farmer_id,
        before=None,
        limit=1,
    )
    return (await tables.store.page(chosen)).events[0]


async def test_a_planting_has_its_operations_stake_or_the_planned_one(
    database: DatabaseAccess,
) -> None:
    async with open_tables(PLANT, database) as tables:
        planned, joined, found = await tables.people(3)
        batch_id = await tables.batch([planned, joined])
        # An earlier batch has planted it with another stake than was planned here.
        operation = await tables.world.settled(joined, BLOCK, "plant", amount=9)
        await tables.joins(batch_id, 0, operation)
        await tables.store.record(batch_id)
        await tables.store.refuse(batch_id, 0, "REFUSED", "")
        assert await tables.store.record(batch_id)
        await tables.world.found(found, BLOCK, "plant", amount=11)
        assert await tables.store.record_found(0) == 1
        for person, stake in ((planned, 7), (joined, 9), (found, 11)):
            event = await newest(tables, person)
            assert isinstance(event, Planting)
            assert event.stake_amount == stake


async def test_a_better_work_that_was_found_is_another_event(database: DatabaseAccess) -> None:
    async with open_tables(WORK, database) as tables:
        (person,) = await tables.people(1)
        await tables.done([person])
        event = await newest(tables, person)
        assert isinstance(event, Work)
        assert (event.nonce, event.hash, event.zeros, event.gap) == (5, bytes(32), 4, 0)
        # Neither nonce nor hash is known of what stands in a pail.
        await tables.world.found(person, BLOCK, "work", zeros=4)
        assert await tables.store.record_found(0) == 0
        (another,) = await tables.people(1)
        await tables.done([another])
        await tables.world.found(another, BLOCK, "work", zeros=5, gap=3)
        assert await tables.store.record_found(0) == 1
        event = await newest(tables, another)
        assert isinstance(event, Work)
        assert (event.nonce, event.hash, event.zeros, event.gap) == (0, b"", 5, 3)


@pytest.mark.parametrize("is_found", [False, True])
async def test_what_failed_pays_nothing_and_is_not_booked(
    database: DatabaseAccess, is_found: bool
) -> None:
    async with open_tables(HARVEST, database) as tables:
        paid, failed = people = await tables.people(2)
        operations = [
            await tables.operation(paid, is_found=is_found),
            await tables.operation(failed, reason="EXPIRED", is_found=is_found),
        ]
        if is_found:
            assert await tables.store.record_found(0) == 2
        batch_id = await tables.batch(people)
        await tables.joins(batch_id, 0, *operations)
        assert await tables.store.record(batch_id)
        for person, amounts in ((paid, (3, 7)), (failed, (0, 0))):
            event = await newest(tables, person)
            assert isinstance(event, Harvest)
            assert (event.reward_amount, event.stake_returned) == amounts
        rows = await tables.world.connection.fetch(
            "SELECT farmer_id, current_balance, total_rewards, harvests FROM harvest.balances"
        )
        assert [tuple(row) for row in rows] == [(paid.farmer_id, 3, 3, 1)]
