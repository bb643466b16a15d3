"""What a look at the whole ledger finds, and what is booked of a pool that ran without one."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from libs.common.ids import FarmerId
from services.migrations import migrations_of
from tests.support.database import DatabaseAccess
from tests.support.ledger_world import BLOCK, LedgerWorld, open_ledger


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[LedgerWorld]:
    """An empty ledger."""
    async with open_ledger(database) as opened:
        yield opened


async def spoil(pool: LedgerWorld, statement: str, *arguments: object) -> None:
    """Change what nobody may change."""
    await pool.admin.execute("SET session_replication_role = replica")
    await pool.admin.execute(statement, *arguments)
    await pool.admin.execute("RESET session_replication_role")


async def test_a_look_counts_all_and_lists_who_has_less_than_nothing(pool: LedgerWorld) -> None:
    assert (await pool.ledger.check()).journals == 0
    people = one, two = [await pool.person() for _ in range(2)]
    for number in range(5):
        for person in people:
            await pool.book("deposit", person, 10, block=None)
            await pool.book("plant", person, 3 + number, block=BLOCK + number)
    await pool.book("plant", two, 100, block=BLOCK + 9)
    found = await pool.ledger.check()
    assert (found.accounts, found.journals, found.entries) == (5, 21, 42)
    assert found.differences == []
    (overdrawn,) = found.overdrawn
    assert (overdrawn.owner_id, overdrawn.role) == (two.farmer_id, "farmer:available")
    assert (overdrawn.asset, overdrawn.amount, overdrawn.entries) == ("kale", 50 - 25 - 100, 11)
    assert one.farmer_id != two.farmer_id


async def test_each_thing_that_does_not_add_up_is_told(pool: LedgerWorld) -> None:
    person = await pool.person()
    await pool.harvested(person, reward_amount=30, stake_returned=7)
    ledger = pool.ledger
    await spoil(pool, "UPDATE harvest.balances SET current_balance = 31")
    await spoil(
        pool,
        "UPDATE harvest.account_balances SET amount = amount + 5 WHERE account_id = "
        "(SELECT id FROM harvest.accounts WHERE role = 'farmer:available')",
    )
    found = (await ledger.watch()).differences
    assert [(one.kind, one.role, one.asset, one.kept, one.expected) for one in found] == [
        ("balance", "farmer:available", "kale", 42, 37),
        ("earnings", "", "kale", 31, 30),
    ]
    assert {one.owner_id for one in found} == {person.farmer_id}
    assert ledger.warnings == ["the ledger does not add up in 2 places: kalepool ledger check"]
    await spoil(pool, "UPDATE harvest.entries SET amount = amount + 2 WHERE amount > 0")
    kinds = [one.kind for one in (await ledger.check()).differences]
    assert kinds == ["journal", "balance", "earnings", "holding"]


async def test_a_farmers_page_has_the_newest_journals_with_all_entries(pool: LedgerWorld) -> None:
    person, other = [await pool.person() for _ in range(2)]
    for number in range(5):
        await pool.book("plant", person, 3 + number, key=f"p{number}", block=BLOCK + number)
        await pool.book("plant", other, 3, block=BLOCK + number)
    farmer = FarmerId(person.farmer_id)
    first = await pool.ledger.journals(farmer, before=None, limit=2)
    assert [one.source_key for one in first] == ["p4", "p3"]
    assert [(one.role, one.amount) for one in first[0].entries] == [
        ("farmer:available", -7),
        ("farmer:staked", 7),
    ]
    following = await pool.ledger.journals(farmer, before=first[-1].journal_id, limit=9)
    assert [(one.source_key, one.block_index) for one in following] == [
        ("p2", BLOCK + 2),
        ("p1", BLOCK + 1),
        ("p0", BLOCK),
    ]
    accounts = {one.role: one.amount for one in await pool.ledger.accounts(farmer)}
    assert accounts == {"farmer:available": -25, "farmer:staked": 25}


async def test_what_was_harvested_before_is_booked_by_the_migration(
    database: DatabaseAccess,
) -> None:
    async with open_ledger(database) as pool:
        people = [await pool.person() for _ in range(3)]
        await _forget_ledger(pool.admin)
        for block in (BLOCK, BLOCK + 1):
            for person in people:
                await pool.harvested(person, block=block, reward_amount=3, stake_returned=7)
        await pool.harvested(people[0], block=BLOCK + 2, reason="EXPIRED", fee_charged=5)
        # As the service of before has kept it.
        await pool.admin.executemany(
            "INSERT INTO harvest.balances VALUES ($1, 6, 6, 2, now())",
            [[person.farmer_id] for person in people],
        )
        for migration in _migrations():
            await pool.admin.execute(migration.read_text())
        for person in people:
            assert await pool.balances(person.farmer_id) == {
                "farmer:available": 20,
                "farmer:staked": -14,
            }
        assert await pool.journals() == {"harvest": 6, "cost": 1}
        assert (await pool.ledger.check()).differences == []
        # And it goes on from there.
        await pool.harvested(people[0], block=BLOCK + 2, reward_amount=1, stake_returned=0)
        assert await pool.earned(people[0]) == (7, 7, 3)
        assert (await pool.ledger.check()).differences == []


def _migrations() -> list[Path]:
    """The one that makes the ledger, and those after it."""
    return sorted(migrations_of("harvest").glob("*.sql"))[1:]


async def _forget_ledger(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Take back what the migrations have made."""
    await admin.execute("DROP TRIGGER trigger_harvests_ledger ON harvest.harvests")
    for table in _made("TABLE"):
        await admin.execute(f"DROP TABLE {table} CASCADE")
    rows = await admin.fetch(
        "SELECT p.oid::regprocedure::text AS name FROM pg_proc AS p "
        "WHERE p.pronamespace = 'harvest'::regnamespace AND 'harvest.' || p.proname = ANY($1)",
        _made("FUNCTION"),
    )
    for row in rows:
        await admin.execute(f"DROP FUNCTION IF EXISTS {row['name']} CASCADE")
    await admin.execute(f"DROP TYPE {', '.join(_made('TYPE'))} CASCADE")
    await admin.execute(
        "GRANT INSERT, UPDATE (current_balance, total_rewards, harvests, updated_at) "
        "ON harvest.balances TO kalepool_harvest"
    )


def _made(what: str) -> list[str]:
    """Return the names of what these migrations create."""
    text = "\n".join(migration.read_text() for migration in _migrations())
    return sorted(set(re.findall(rf"^CREATE (?:OR REPLACE )?{what} (harvest\.\w+)", text, re.M)))


async def test_a_look_by_night_goes_on_from_what_was_proven(pool: LedgerWorld) -> None:
    await pool.agree(1000, 500, 3000)
    person = await pool.person()
    await pool.harvested(person, reward_amount=1_000, stake_returned=7)
    await spoil(pool, "UPDATE harvest.journals SET booked_at = now() - interval '2 hours'")
    await pool.book("deposit", person, 10)
    ledger = pool.ledger
    assert (await ledger.watch()).differences == []
    kept = await pool.admin.fetchrow("SELECT journal_id, journals FROM harvest.ledger_marks")
    assert kept is not None
    # What is younger than an hour is read again: an older transaction may still end.
    assert tuple(kept) == (1, 1)
    # What is proven is not read again by night; on Sundays, and by the command, it is.
    await spoil(pool, "DELETE FROM harvest.entries WHERE journal_id = 1")
    assert (await ledger.watch()).differences == []
    found = await ledger.watch()
    assert (found.differences, found.journals) == ([], 2)
    for look in (ledger.check, lambda: ledger.watch(is_full=True)):
        assert {one.kind for one in (await look()).differences} == {
            "balance", "earnings", "holding",
        }  # fmt: skip
    # A balance that is wrong is told in any case, and nothing is proven by such a look.
    await spoil(pool, "UPDATE harvest.account_balances SET amount = amount + 1")
    await spoil(pool, "UPDATE harvest.journals SET booked_at = now() - interval '2 hours'")
    assert {one.kind for one in (await ledger.watch()).differences} == {"balance"}
    assert await pool.admin.fetchval("SELECT journal_id FROM harvest.ledger_marks") == 1
