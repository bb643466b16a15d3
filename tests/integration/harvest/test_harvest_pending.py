"""What is pending: kept by the database with the events, whoever writes them."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from libs.batches.model import HORIZON
from libs.common.db.pool import Database
from libs.common.ids import PoolerId, new_id
from services.harvest.store.store import QUERIES, Store
from tests.support.database import DatabaseAccess, connect, open_as
from tests.support.ends import Ends
from tests.support.pool_world import Person, PoolWorld

BLOCK = 700


@dataclass(frozen=True, kw_only=True)
class Events:
    """harvest's store, and events that are written with all rights."""

    store: Store
    world: PoolWorld
    pooler: UUID
    database: DatabaseAccess

    async def worker(self, block: int = BLOCK) -> Person:
        """A farmer who has worked."""
        person = await self.world.farmer(self.pooler)
        await self.world.worked(self.pooler, person, block)
        return person

    async def harvested(self, person: Person, reason: str = "", block: int = BLOCK) -> None:
        """A harvest; it failed when there is a reason."""
        await self.store.ensure_partition(block)
        await self.world.connection.execute(
            "INSERT INTO harvest.harvests (id, block_index, farmer_id, pooler_id, "
            "custodial_wallet, reward_amount, stake_returned, transaction_hash, ledger, "
            "fee_charged, status, reason, harvested_at) "
            "VALUES ($1, $2, $3, $4, $5, 0, 0, '', 1, 0, $6::text::harvest.harvest_status, $7, "
            "now())",
            new_id(),
            block,
            person.farmer_id,
            self.pooler,
            person.address,
            "failed" if reason else "success",
            reason,
        )

    async def rows(self) -> set[tuple[int, UUID]]:
        """Blocks and farmers that are noted."""
        rows = await self.world.connection.fetch("SELECT * FROM harvest.pending")
        assert {row["pooler_id"] for row in rows} <= {self.pooler}
        return {(row["block_index"], row["farmer_id"]) for row in rows}

    async def seen(self) -> tuple[dict[int, int], int]:
        """What a sweep finds: farmers by block, and all of them."""
        blocks = await self.store.pending_blocks(
            pooler_id=None, current_block=BLOCK + 1, limit=1000
        )
        count = await self.store.count_pending(
            pooler_id=PoolerId(self.pooler), current_block=BLOCK + 1
        )
        return {item.block_index: item.farmers for item in blocks}, count


@pytest.fixture
async def events(database: DatabaseAccess) -> AsyncIterator[Events]:
    """Nothing has happened yet."""
    async with connect(database.admin_dsn) as connection, store_of(database) as opened:
        world = PoolWorld(connection)
        yield Events(
            store=Store(opened, Ends()), world=world, pooler=await world.pooler(), database=database
        )


def store_of(database: DatabaseAccess) -> AbstractAsyncContextManager[Database]:
    """harvest's own role."""
    return open_as(database, "harvest", QUERIES, pool_size=1)


async def test_works_are_noted_once_and_paid_ones_are_not(events: Events) -> None:
    paid, open_one = await events.worker(), await events.worker()
    # A better hash in the same block.
    await events.world.worked(events.pooler, open_one, BLOCK, zeros=5)
    assert await events.rows() == {(BLOCK, paid.farmer_id), (BLOCK, open_one.farmer_id)}
    await events.harvested(paid)
    assert await events.rows() == {(BLOCK, open_one.farmer_id)}
    assert await events.seen() == ({BLOCK: 1}, 1)


@pytest.mark.parametrize("reason", ["NOT_PLANTED", "NOT_WORKED", "BLOCK_EXPIRED"])
async def test_what_no_later_try_can_mend_is_over(events: Events, reason: str) -> None:
    person = await events.worker()
    await events.harvested(person, "EXPIRED")
    assert await events.seen() == ({BLOCK: 1}, 1)
    await events.harvested(person, reason)
    assert await events.rows() == set()
    assert await events.seen() == ({}, 0)


async def test_what_has_failed_waits_for_pauses_that_grow(events: Events) -> None:
    """Each try leaves an event for ever: one a minute would be thousands a day for each farmer."""

    async def is_due(*, seconds_ago: float) -> bool:
        await events.world.connection.execute(
            "UPDATE harvest.pending SET failed_at = now() - make_interval(secs => $1)", seconds_ago
        )
        due = await events.store.pending_blocks(
            pooler_id=None, current_block=BLOCK + 1, limit=1000, pause=60
        )
        # Who asks for everything gets everything.
        assert await events.seen() == ({BLOCK: 1}, 1)
        return bool(due)

    person = await events.worker()
    assert await is_due(seconds_ago=0)
    for pauses in (1, 2, 4, 8, 16, 32, 32):
        await events.harvested(person, "FEE_CAP")
        assert not await is_due(seconds_ago=60 * pauses - 5)
        assert await is_due(seconds_ago=60 * pauses + 5)
    # The clock was an hour ahead when it failed, and is right again.
    assert await is_due(seconds_ago=-3600)


async def test_a_failure_does_not_keep_back_others(events: Events) -> None:
    unlucky, paid, other = [await events.worker() for _ in range(3)]
    await events.harvested(unlucky, "FEE_CAP")
    await events.harvested(paid)
    assert await events.rows() == {(BLOCK, unlucky.farmer_id), (BLOCK, other.farmer_id)}
    due = await events.store.pending_blocks(
        pooler_id=None, current_block=BLOCK + 1, limit=1000, pause=60
    )
    assert [block.farmers for block in due] == [1]


async def test_a_work_that_is_recorded_after_the_harvest_is_not_pending(events: Events) -> None:
    person = await events.worker()
    await events.harvested(person)
    await events.world.worked(events.pooler, person, BLOCK, zeros=5)
    assert await events.rows() == set()
    # As if both had been written at the same time.
    await events.world.connection.execute(
        "INSERT INTO harvest.pending VALUES ($1, $2, $3)", BLOCK, person.farmer_id, events.pooler
    )
    assert await events.seen() == ({}, 0)


async def test_a_sweep_looks_two_days_back_and_at_closed_blocks(events: Events) -> None:
    for block in (BLOCK + 1, BLOCK, BLOCK + 1 - HORIZON, BLOCK - HORIZON):
        await events.worker(block)
    assert await events.seen() == ({BLOCK: 1, BLOCK + 1 - HORIZON: 1}, 2)


async def test_only_the_database_writes_it(events: Events) -> None:
    person = await events.worker()
    for service in ("work", "harvest"):
        async with connect(events.database.dsn(service)) as own:
            for statement in (
                "INSERT INTO harvest.pending SELECT 1, id, id FROM registry.farmers",
                "UPDATE harvest.pending SET block_index = 1",
                "DELETE FROM harvest.pending",
                "SELECT harvest.note_works()",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await own.execute(statement)
    assert await events.rows() == {(BLOCK, person.farmer_id)}
