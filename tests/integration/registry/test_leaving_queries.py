"""Who leaves, query by query: whose word counts, who is looked at, what is left."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, PoolerId, new_id
from services.registry.domain.leaving import Leaving, Waits, Word
from services.registry.domain.status import FarmerEvent
from services.registry.store.leaving import LeavingStore
from services.registry.store.store import QUERIES
from tests.support.database import Connection, DatabaseAccess, connect, open_as
from tests.support.pool_world import PoolWorld
from tests.support.table_rows import insert_row

POOLER, OWNER, OPERATOR = Word.POOLER, Word.OWNER, Word.OPERATOR


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Tables in which nobody leaves yet, and registry's own access to them."""

    admin: Connection
    store: LeavingStore
    pool: PoolWorld

    async def farmer(self, pooler: UUID | None = None, status: str = "active") -> FarmerId:
        """A farmer in a status."""
        whose = pooler or await self.pool.pooler()
        return FarmerId((await self.pool.farmer(whose, status=status)).farmer_id)

    async def leaves(self, farmer: FarmerId, word: Word = OPERATOR, **values: Any) -> bool:
        """Have it leave."""
        return await self.store.leave(farmer, word, asked_by=word.value, **values)

    async def books(self, owner: UUID, role: str, amount: int) -> None:
        """Have an account of the ledger hold so much."""
        number = await self.admin.fetchval("SELECT count(*) + 1 FROM harvest.accounts")
        await insert_row(
            self.admin, "harvest.accounts", id=number, owner_id=owner, role=role, asset="kale"
        )
        await insert_row(
            self.admin, "harvest.account_balances", account_id=number, amount=amount, entries=1
        )

    async def status(self, farmer: FarmerId) -> str:
        """What it is now."""
        found = await self.admin.fetchval(
            "SELECT status::text FROM registry.farmers WHERE id = $1", farmer
        )
        return str(found)

    async def row(self, owner: UUID) -> tuple[Any, ...]:
        """Word, who asked, with its pooler, and what it waits for."""
        found = await self.admin.fetchrow(
            "SELECT word::text, asked_by, with_pooler, waits_for, message FROM registry.leavings"
            " WHERE owner_id = $1",
            owner,
        )
        return tuple(found or ())


@pytest.fixture
async def tables(database: DatabaseAccess) -> AsyncIterator[Tables]:
    """Registry's."""
    opened: Database
    async with (
        connect(database.admin_dsn) as admin,
        open_as(database, "registry", QUERIES, pool_size=2) as opened,
    ):
        yield Tables(admin=admin, store=LeavingStore(opened), pool=PoolWorld(admin))


@pytest.mark.parametrize(
    ("status", "moved"),
    [("active", True), ("suspended", True), ("leaving", True), ("closing", False)],
)
async def test_who_may_leave(tables: Tables, status: str, moved: bool) -> None:
    farmer, other = await tables.farmer(status=status), await tables.farmer()
    assert await tables.leaves(farmer) is moved
    assert await tables.status(farmer) == ("leaving" if moved else status)
    assert await tables.status(other) == "active"
    assert await tables.row(other) == ()


async def test_the_stronger_word_counts_while_it_leaves(tables: Tables) -> None:
    farmer = await tables.farmer()
    assert await tables.store.word(farmer) is None
    for word, counts in (
        (POOLER, POOLER),
        (OWNER, OWNER),
        (POOLER, OWNER),
        (OPERATOR, OPERATOR),
        (OWNER, OPERATOR),
    ):
        await tables.leaves(farmer, word)
        assert await tables.row(farmer) == (counts.value, counts.value, False, "", "")
        assert await tables.store.word(farmer) is counts
    # After it has stayed, the next word counts, whosever it is.
    assert await tables.store.stay(farmer, OPERATOR)
    await tables.leaves(farmer, POOLER)
    assert (await tables.row(farmer))[:2] == ("pooler", "pooler")


async def test_who_leaves_for_itself_does_not_leave_with_its_pooler(tables: Tables) -> None:
    own, along, both = [await tables.farmer() for _ in range(3)]
    await tables.leaves(own)
    await tables.leaves(own, with_pooler=True)
    await tables.leaves(along, with_pooler=True)
    await tables.leaves(along, with_pooler=True)
    await tables.leaves(both, with_pooler=True)
    await tables.leaves(both, POOLER)
    found = [(await tables.row(one))[2] for one in (own, along, both)]
    assert found == [False, True, False]
    await tables.store.stay(along, OPERATOR)
    await tables.leaves(along)
    assert (await tables.row(along))[2] is False


@pytest.mark.parametrize("asked", Word)
@pytest.mark.parametrize("word", Word)
async def test_a_weaker_word_calls_nothing_off(tables: Tables, asked: Word, word: Word) -> None:
    farmer, other = await tables.farmer(), await tables.farmer()
    for one in (farmer, other):
        await tables.leaves(one, asked)
    order = list(Word)
    stays = order.index(word) >= order.index(asked)
    assert await tables.store.stay(farmer, word) is stays
    assert await tables.status(farmer) == ("active" if stays else "leaving")
    assert await tables.status(other) == "leaving"


async def test_who_is_looked_at(tables: Tables) -> None:
    leaving, closing, stayed, departed, noted = [await tables.farmer() for _ in range(5)]
    for one in (leaving, closing, stayed, departed, noted):
        await tables.leaves(one)
    await tables.store.stay(stayed, OPERATOR)
    for one in (closing, departed):
        await tables.store.move(_of(one), FarmerEvent.EMPTIED)
    await tables.admin.execute("UPDATE registry.poolers SET current_farmers = 1")
    await tables.store.move(_of(departed, is_closing=True), FarmerEvent.CLOSED)
    waits = Waits(reason="UNPAID", message="5 stroops")
    await tables.store.note(noted, waits, pause=60)
    assert (await tables.row(noted))[3:] == ("UNPAID", "5 stroops")
    pooler, staying = [PoolerId(await tables.pool.pooler()) for _ in range(2)]
    for name in (pooler, staying):
        await tables.store.leave_pooler(name, asked_by="one")
    await tables.store.stay_pooler(staying)
    claimed = await tables.store.claim(limit=99, lease=60)
    assert {one.owner_id: one for one in claimed} == {
        leaving: _of(leaving),
        closing: _of(closing, is_closing=True),
        pooler: Leaving(owner_id=pooler, is_pooler=True, is_closing=False),
    }
    assert await tables.store.claim(limit=99, lease=60) == []
    await tables.store.note(noted, None, pause=-1)
    assert [one.owner_id for one in await tables.store.claim(limit=1, lease=60)] == [noted]
    assert (await tables.row(noted))[3:] == ("", "")


def _of(farmer: FarmerId, *, is_closing: bool = False) -> Leaving:
    return Leaving(owner_id=farmer, is_pooler=False, is_closing=is_closing)


async def test_steps_are_taken_once_and_in_order(tables: Tables) -> None:
    pooler = await tables.pool.pooler()
    farmer, other = await tables.farmer(pooler), await tables.farmer(pooler)
    await tables.admin.execute("UPDATE registry.poolers SET current_farmers = 2")
    one = _of(farmer)
    assert not await tables.store.move(one, FarmerEvent.EMPTIED)
    await tables.leaves(farmer)
    assert not await tables.store.move(one, FarmerEvent.CLOSED)
    assert await tables.store.move(one, FarmerEvent.EMPTIED)
    assert await tables.store.move(one, FarmerEvent.REOPENED)
    assert await tables.status(farmer) == "leaving"
    assert await tables.store.move(one, FarmerEvent.EMPTIED)
    assert await tables.store.move(one, FarmerEvent.CLOSED)
    assert not await tables.store.move(one, FarmerEvent.CLOSED)
    assert await tables.status(farmer) == "departed"
    assert await tables.status(other) == "active"
    assert await tables.admin.fetchval("SELECT current_farmers FROM registry.poolers") == 1


async def test_a_pooler_takes_the_same_steps(tables: Tables) -> None:
    pooler, other = [PoolerId(await tables.pool.pooler()) for _ in range(2)]
    one = Leaving(owner_id=pooler, is_pooler=True, is_closing=False)
    assert not await tables.store.move(one, FarmerEvent.EMPTIED)
    assert await tables.store.leave_pooler(pooler, asked_by="one")
    assert await tables.row(pooler) == ("operator", "one", False, "", "")
    await tables.store.note(pooler, Waits(reason="UNPAID", message="5"), pause=9)
    assert await tables.store.leave_pooler(pooler, asked_by="two")
    assert await tables.row(pooler) == ("operator", "one", False, "", "")
    for event in (FarmerEvent.EMPTIED, FarmerEvent.REOPENED, FarmerEvent.EMPTIED):
        assert await tables.store.move(one, event)
    assert not await tables.store.stay_pooler(pooler)
    assert not await tables.store.leave_pooler(pooler, asked_by="three")
    assert await tables.store.move(one, FarmerEvent.CLOSED)
    stages = await tables.admin.fetch("SELECT id, stage::text FROM registry.poolers")
    assert {row["id"]: row["stage"] for row in stages} == {pooler: "departed", other: "farming"}


async def test_who_of_a_poolers_farmers_is_to_leave_and_has_not_left(tables: Tables) -> None:
    pooler = PoolerId(await tables.pool.pooler())
    statuses = ("active", "suspended", "leaving", "closing", "departed")
    found = {status: await tables.farmer(pooler, status) for status in statuses}
    await tables.farmer()
    expected = sorted([found["active"], found["suspended"]])
    assert await tables.store.leavable(pooler, limit=9) == expected
    assert await tables.store.leavable(pooler, limit=1) == expected[:1]
    assert await tables.store.farmers_left(pooler) == 4


async def test_only_who_left_with_the_pooler_stays_with_it(tables: Tables) -> None:
    pooler, other = [PoolerId(await tables.pool.pooler()) for _ in range(2)]
    along, own, closing = [await tables.farmer(pooler) for _ in range(3)]
    elsewhere = await tables.farmer(other)
    for one in (along, closing, elsewhere):
        await tables.leaves(one, with_pooler=True)
    await tables.leaves(own)
    await tables.store.move(_of(closing), FarmerEvent.EMPTIED)
    await tables.store.leave_pooler(pooler, asked_by="one")
    assert await tables.store.stay_pooler(pooler)
    found = [await tables.status(one) for one in (along, own, closing, elsewhere)]
    assert found == ["active", "leaving", "closing", "leaving"]
    assert not await tables.store.stay_pooler(pooler)


async def test_what_is_left_of_a_farmer_and_of_a_pooler(tables: Tables) -> None:
    pooler = PoolerId(await tables.pool.pooler())
    farmer, other = await tables.farmer(pooler), await tables.farmer(pooler)
    miner = new_id()
    assert await tables.store.left(farmer) == {}
    await tables.books(farmer, "farmer:available", 5)
    await tables.books(farmer, "farmer:pending_out", 6)
    await tables.books(farmer, "farmer:staked", 7)
    await tables.books(other, "farmer:available", 0)
    await tables.books(pooler, "pooler:fee", 8)
    await tables.books(pooler, "miner:earned", 9)
    await tables.books(miner, "miner:earned", 10)
    await insert_row(
        tables.admin, "harvest.miners", id=miner, pooler_id=pooler, address="G" + "A" * 55
    )
    await insert_row(
        tables.admin,
        "harvest.fee_claims",
        farmer_id=farmer,
        pooler_id=pooler,
        pooler=1,
        miners=2,
        operator=4,
    )
    await insert_row(
        tables.admin,
        "harvest.pooler_funds",
        pooler_id=pooler,
        pooler_in=9,
        miners_in=7,
        pooler_out=4,
        miners_out=1,
    )
    for block in (3, 4):
        await insert_row(
            tables.admin,
            "harvest.pending",
            block_index=block,
            farmer_id=farmer,
            pooler_id=pooler,
        )
    assert await tables.store.left(farmer) == {
        "farmer:available": 5,
        "farmer:pending_out": 6,
        "fees": 7,
        "unharvested": 2,
    }
    assert await tables.store.left(other) == {}
    assert await tables.store.left(pooler) == {
        "pooler:fee": 8,
        "miner:earned": 9,
        "miners": 10,
        "funds": 11,
    }


async def test_signed_wishes_are_carried_out_once(tables: Tables) -> None:
    pooler = await tables.pool.pooler()
    people = {
        status: await tables.pool.farmer(pooler, status=status)
        for status in ("active", "suspended", "leaving", "closing", "departed")
    }

    async def wishes(status: str, number: int) -> None:
        await insert_row(
            tables.admin,
            "wallet.leave_wishes",
            wallet_id=people[status].wallet_id,
            number=number,
            farmer_id=people[status].farmer_id,
            signature=bytes(64),
        )

    for status in people:
        await wishes(status, 1)
    await wishes("active", 2)
    active, leaving = [FarmerId(people[name].farmer_id) for name in ("active", "leaving")]
    assert await tables.store.wishes(limit=9) == {active: 2, leaving: 1}
    assert await tables.store.wishes(limit=1) == dict([min((active, 2), (leaving, 1))])
    await tables.leaves(active, OWNER, wish=2)
    await tables.leaves(leaving, POOLER)
    assert await tables.store.wishes(limit=9) == {leaving: 1}
    await tables.leaves(leaving, OWNER, wish=1)
    assert (await tables.row(leaving))[0] == "owner"
    # Called off, only another one counts.
    await tables.store.stay(active, OPERATOR)
    await tables.leaves(active)
    await tables.store.stay(active, OPERATOR)
    assert await tables.store.wishes(limit=9) == {}
    await wishes("active", 3)
    assert await tables.store.wishes(limit=9) == {active: 3}


async def test_what_is_changed_of_a_farmer_that_has_left_is_noted(tables: Tables) -> None:
    farmer = await tables.farmer(PoolerId(await tables.pool.pooler()), "departed")
    await tables.admin.execute(
        """UPDATE registry.farmers SET metadata = '{"a": 1}' WHERE id = $1""", farmer
    )
    (after,) = await tables.admin.fetch(
        "SELECT after FROM registry.changes WHERE row_id = $1 AND after ? 'metadata'"
        " AND before IS NOT NULL",
        farmer,
    )
    assert '"a": 1' in after["after"]
