"""What is booked of harvests, plants and withdrawals, and what the database refuses to book."""

import asyncio
import random
from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pytest

from libs.common.db.pool import Database
from libs.common.ids import new_id
from libs.kale.amounts import WHOLE
from libs.kale.fees import Terms, split
from tests.support.database import DatabaseAccess
from tests.support.ledger_world import BLOCK, LedgerWorld, book, open_ledger


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[LedgerWorld]:
    """An empty ledger."""
    async with open_ledger(database) as opened:
        yield opened


async def assert_sound(pool: LedgerWorld) -> None:
    """Nothing in the ledger differs."""
    assert (await pool.ledger.check()).differences == []


# Harvests --------------------------------------------------------------------------------------


async def test_a_harvest_gives_the_stake_back_and_the_reward_to_the_farmer(
    pool: LedgerWorld,
) -> None:
    person, other = await pool.person(), await pool.person()
    await pool.book("plant", person, 7, block=BLOCK)
    assert await pool.balances(person.farmer_id) == {"farmer:available": -7, "farmer:staked": 7}
    await pool.harvested(person, reward_amount=3, stake_returned=7, fee_charged=11)
    assert await pool.balances(person.farmer_id) == {"farmer:available": 3}
    assert await pool.balances() == {"chain:mint": -3}
    assert await pool.balances(other.farmer_id) == {}
    assert await pool.costs() == 11
    assert await pool.earned(person) == (3, 3, 1)
    assert await pool.journals() == {"plant": 1, "harvest": 1}
    await assert_sound(pool)


async def test_a_reward_is_divided_by_the_farmers_terms(pool: LedgerWorld) -> None:
    await pool.agree(1000, 500, 3000)
    people = [await pool.person() for _ in range(2)]
    for person, reward in zip(people, (1_003, 77), strict=True):
        await pool.harvested(person, reward_amount=reward, stake_returned=7)
    terms = Terms(pooler_bps=1000, operator_bps=500, miners_bps=3000)
    one, two = parts = [split(reward, terms) for reward in (1_003, 77)]
    for person, part in zip(people, parts, strict=True):
        found = await pool.balances(person.farmer_id)
        assert found == {"farmer:available": 7 + part.farmer, "farmer:staked": -7}
        assert (await pool.earned(person))[0] == part.farmer
    assert await pool.balances(pool.pooler) == {
        "pooler:fee": one.pooler + two.pooler,
        "miner:earned": one.miners + two.miners,
    }
    assert await pool.balances() == {
        "operator:fee": one.operator + two.operator,
        "chain:mint": -1_080,
    }
    await assert_sound(pool)


async def test_the_database_divides_as_python_does(pool: LedgerWorld) -> None:
    chance = random.Random(7)
    tried = []
    for _ in range(3_000):
        pooler = chance.choice([0, WHOLE, chance.randint(0, WHOLE)])
        operator = chance.choice([0, WHOLE - pooler, chance.randint(0, WHOLE - pooler)])
        miners = chance.choice([0, WHOLE, chance.randint(0, WHOLE)])
        reward = chance.choice([chance.randint(0, 30), chance.randint(0, 2**63 - 1)])
        tried.append((reward, pooler, operator, miners))
    rows = await pool.admin.fetch(
        "SELECT s.* FROM unnest($1::bigint[], $2::int[], $3::int[], $4::int[]) "
        "WITH ORDINALITY AS n (reward, pooler, operator, miners, place) "
        "CROSS JOIN LATERAL harvest.split(n.reward, n.pooler, n.operator, n.miners) AS s "
        "ORDER BY n.place",
        *map(list, zip(*tried, strict=True)),
    )
    for (reward, pooler, operator, miners), row in zip(tried, rows, strict=True):
        terms = Terms(pooler_bps=pooler, operator_bps=operator, miners_bps=miners)
        wanted = split(reward, terms)
        assert tuple(row) == (wanted.farmer, wanted.pooler, wanted.operator, wanted.miners)


async def test_what_failed_costs_and_gives_nothing(pool: LedgerWorld) -> None:
    person = await pool.person()
    await pool.harvested(person, reason="EXPIRED", fee_charged=13)
    await pool.harvested(person, reason="EXPIRED", fee_charged=0)
    assert await pool.balances(person.farmer_id) == {}
    assert (await pool.costs(), await pool.journals()) == (13, {"cost": 1})
    await assert_sound(pool)


async def test_amounts_at_the_end_of_their_range_are_booked(pool: LedgerWorld) -> None:
    person, most = await pool.person(), 2**63 - 1
    for block in (BLOCK, BLOCK + 1):
        await pool.harvested(person, block=block, reward_amount=most, stake_returned=most)
    assert (await pool.balances(person.farmer_id))["farmer:available"] == 4 * most
    assert await pool.earned(person) == (most, most, 2)
    await assert_sound(pool)


async def test_two_statements_with_the_same_farmers_do_not_wait_crosswise(
    pool: LedgerWorld,
) -> None:
    people = [await pool.person() for _ in range(20)]

    async def some(database: Database, number: int) -> None:
        wanted = [("plant", one, 3, f"{number} {one.farmer_id}", BLOCK) for one in people]
        async with database.session() as session:
            await book(session.connection, wanted if number % 2 else wanted[::-1])

    await asyncio.gather(*(some(pool.database, number) for number in range(8)))
    for person in people:
        assert (await pool.balances(person.farmer_id))["farmer:staked"] == 24
    await assert_sound(pool)


# Withdrawals -----------------------------------------------------------------------------------


async def test_a_withdrawal_waits_until_it_is_paid(pool: LedgerWorld) -> None:
    person = await pool.person()
    await pool.book("deposit", person, 100)
    await pool.book("withdrawal", person, 30, key="w")
    pending = {"farmer:available": 70, "farmer:pending_out": 30}
    assert await pool.balances(person.farmer_id) == pending
    assert await pool.book("payout", person, 30, key="w") == 1
    assert await pool.balances(person.farmer_id) == {"farmer:available": 70}
    assert await pool.balances() == {"chain:out": -70}
    # Whatever is told again, or too late.
    assert await pool.book("payout", person, 30, key="w") == 0
    assert await pool.book("withdrawal", person, 30, key="w") == 0
    assert await pool.book("withdrawal_return", person, 30, key="w") == 0
    assert await pool.balances(person.farmer_id) == {"farmer:available": 70}
    await assert_sound(pool)


async def test_a_withdrawal_that_failed_goes_back_and_may_be_paid_after_all(
    pool: LedgerWorld,
) -> None:
    person = await pool.person()
    await pool.book("deposit", person, 100)
    await pool.book("withdrawal", person, 30, key="w")
    await pool.book("withdrawal_return", person, 30, key="w")
    assert await pool.balances(person.farmer_id) == {"farmer:available": 100}
    assert await pool.book("payout", person, 30, key="w") == 1
    assert await pool.book("payout", person, 30, key="w") == 0
    assert await pool.balances(person.farmer_id) == {"farmer:available": 70}
    assert (await pool.journals())["late_payout"] == 1
    await assert_sound(pool)


@pytest.mark.parametrize("kind", ["payout", "withdrawal_return"])
async def test_nothing_is_paid_that_was_not_asked_for(pool: LedgerWorld, kind: str) -> None:
    person = await pool.person()
    await pool.book("deposit", person, 100)
    with pytest.raises(asyncpg.CheckViolationError, match="takes more than account"):
        await pool.book(kind, person, 30)
    assert await pool.balances(person.farmer_id) == {"farmer:available": 100}


# Stakes that are lost, and what did not happen -------------------------------------------------


async def test_a_stake_that_no_harvest_brought_back_is_lost(pool: LedgerWorld) -> None:
    people = lost, paid, late = [await pool.person() for _ in range(3)]
    for person in people:
        await pool.book("plant", person, 7, block=BLOCK)
    await pool.book("plant", lost, 5, block=BLOCK + 1)
    await pool.harvested(paid, reward_amount=3, stake_returned=7)
    assert await pool.lose(BLOCK) == 0
    assert await pool.lose(BLOCK + 1) == 2
    assert await pool.lose(BLOCK + 1) == 0
    assert await pool.balances() == {"chain:mint": -3, "chain:burn": 14}
    assert (await pool.balances(lost.farmer_id))["farmer:staked"] == 5
    # It was harvested after all: what was booked as burned is what comes back.
    await pool.harvested(late, reward_amount=2, stake_returned=7)
    assert await pool.balances(late.farmer_id) == {"farmer:available": 2}
    assert await pool.balances() == {"chain:mint": -5, "chain:burn": 7}
    await assert_sound(pool)


async def test_what_the_chain_has_no_trace_of_is_taken_back_once(pool: LedgerWorld) -> None:
    await pool.agree(1000, 0, 0)
    person = await pool.person()
    await pool.book("plant", person, 7, key="p", block=BLOCK)
    event = await pool.harvested(person, reward_amount=30, stake_returned=7, fee_charged=5)
    assert await pool.deny("nothing", "p", str(event)) == 2
    assert await pool.deny("p", str(event)) == 0
    assert await pool.balances(person.farmer_id) == {}
    assert await pool.balances(pool.pooler) == {}
    # It cost what it cost, and the event stays.
    assert (await pool.costs(), await pool.earned(person)) == (5, (0, 0, 0))
    await assert_sound(pool)


# What is refused ----------------------------------------------------------------------------------


async def test_a_journal_is_balanced_of_its_kind_and_never_added_to(pool: LedgerWorld) -> None:
    person = await pool.person()
    await pool.book("deposit", person, 100)
    accounts = {
        row["role"]: row["id"]
        for row in await pool.admin.fetch("SELECT role::text, id FROM harvest.accounts")
    }
    available, out = accounts["farmer:available"], accounts["chain:out"]
    old = await pool.admin.fetchval("SELECT id FROM harvest.journals")

    async def write(journal: int, *entries: tuple[int, int]) -> None:
        await pool.admin.execute(
            "INSERT INTO harvest.entries SELECT $1, * FROM unnest($2::bigint[], $3::numeric[])",
            journal,
            [account for account, _ in entries],
            [Decimal(amount) for _, amount in entries],
        )

    async def made(*entries: tuple[int, int]) -> None:
        async with pool.admin.transaction():
            journal = await pool.admin.fetchval(
                "INSERT INTO harvest.journals (kind, source_key, ledger, transaction_hash, "
                "happened_at) VALUES ('deposit', $1, 0, '', now()) RETURNING id",
                str(new_id()),
            )
            await write(journal, *entries)

    await made((available, 5), (out, -5))
    for entries in (
        [(available, 5), (out, -4)],
        [(available, 5)],
        # A deposit gives.
        [(available, -5), (out, 5)],
        # Nobody's account.
        [(available, 5), (10**6, -5)],
    ):
        with pytest.raises(asyncpg.CheckViolationError, match="are not those of a journal"):
            await made(*entries)
    staked = await pool.admin.fetchval(
        "INSERT INTO harvest.accounts (owner_id, role, asset) "
        "VALUES ($1, 'farmer:staked', 'kale') RETURNING id",
        person.farmer_id,
    )
    with pytest.raises(asyncpg.CheckViolationError, match="are not those of a journal"):
        await made((staked, 5), (out, -5))
    await pool.book("cost", person, 3)
    rows = await pool.admin.fetch(
        "SELECT id FROM harvest.accounts WHERE asset = 'xlm' ORDER BY role DESC"
    )
    cost, paid = [row["id"] for row in rows]
    await made((available, 1), (out, -1), (cost, -2), (paid, 2))
    with pytest.raises(asyncpg.CheckViolationError, match="are not those of a journal"):
        await write(old, (cost, -5), (paid, 5))
    assert await pool.balances(person.farmer_id) == {"farmer:available": 106}
    await assert_sound(pool)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE harvest.entries SET amount = 1",
        "DELETE FROM harvest.entries",
        "TRUNCATE harvest.entries",
        "UPDATE harvest.journals SET ledger = 1",
        "DELETE FROM harvest.journals",
        "UPDATE harvest.accounts SET owner_id = gen_random_uuid()",
        "DELETE FROM harvest.accounts",
    ],
)
async def test_the_ledger_is_append_only(pool: LedgerWorld, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await pool.admin.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO harvest.entries VALUES (1, 1, 1)",
        "UPDATE harvest.account_balances SET amount = 1",
        "UPDATE harvest.balances SET current_balance = 1",
        "SELECT harvest.write_journals(NULL, NULL)",
        "SELECT harvest.book_harvests(NULL)",
    ],
)
async def test_harvests_role_cannot_write_the_ledger(pool: LedgerWorld, statement: str) -> None:
    async with pool.database.session() as session:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.connection.execute(statement)


@pytest.mark.parametrize("kind", ["harvest", "denial"])
async def test_what_is_no_transfer_is_not_booked_as_one(pool: LedgerWorld, kind: str) -> None:
    person = await pool.person()
    with pytest.raises(asyncpg.CheckViolationError, match="no transfer"):
        await pool.book(kind, person, 5)
