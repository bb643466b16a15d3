"""A farmer's terms in a block: what was agreed when the block opened, and nothing later."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.database import DatabaseAccess
from tests.support.ledger_world import LedgerWorld, open_ledger
from tests.support.pool_world import Person
from tests.support.table_rows import insert_row

#: When block 10 opened; a block follows every five minutes.
OPENED = datetime(2026, 5, 1, 12, tzinfo=UTC)
BLOCK, STEP = 10, timedelta(minutes=5)
_FACTS = (
    *("opened_ledger", "min_gap", "max_gap", "min_zeros", "max_zeros", "min_stake", "max_stake"),
    *("staked_total", "normalized_total", "expires_ledger", "updated_ledger"),
)


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[LedgerWorld]:
    """Ten blocks, and nothing agreed to."""
    async with open_ledger(database) as opened:
        for number in range(10):
            opened_at = OPENED + number * STEP
            await insert_row(
                opened.admin,
                "chain.blocks",
                index=BLOCK + number,
                opened_at=opened_at,
                closes_at=opened_at + STEP,
                entropy=bytes(32),
                **dict.fromkeys(_FACTS, 1),
            )
        yield opened


async def agreed(
    pool: LedgerWorld, person: Person, number: int, effective_at: datetime, **parts: int
) -> None:
    """Write an agreement as wallet would."""
    columns = {"stake_bps": 5_000, "pooler_bps": 0, "operator_bps": 0, "miners_bps": 0, **parts}
    await insert_row(
        pool.admin,
        "wallet.agreements",
        wallet_id=person.wallet_id,
        number=number,
        payout_threshold=0,
        payout_interval_seconds=0,
        harvest_blocks=1,
        given_by="a pooler",
        proof="certificate",
        terms_version=0,
        terms_digest=bytes(32),
        registered_at=OPENED,
        effective_at=effective_at,
        **columns,
    )


async def terms(pool: LedgerWorld, person: Person, block: int) -> tuple[int, int, int]:
    """Return the terms by harvest's own role."""
    async with pool.database.session() as session:
        row = await session.connection.fetchrow(
            "SELECT * FROM harvest.terms($1, $2)", person.farmer_id, block
        )
    assert row is not None
    return (row[0], row[1], row[2])


async def test_without_an_agreement_nobody_takes_a_fee(pool: LedgerWorld) -> None:
    person, beside = await pool.person(), await pool.person()
    await agreed(pool, beside, 1, OPENED, pooler_bps=500)
    assert await terms(pool, person, BLOCK) == (0, 0, 0)


async def test_a_block_goes_by_what_was_in_force_when_it_opened(pool: LedgerWorld) -> None:
    """A change in mid-block is for the next one; one of the very moment is for that block."""
    person = await pool.person()
    await agreed(pool, person, 1, OPENED + STEP, pooler_bps=500, operator_bps=100, miners_bps=7)
    await agreed(pool, person, 2, OPENED + 3.5 * STEP, pooler_bps=200)
    found = [await terms(pool, person, BLOCK + number) for number in range(6)]
    first, second = (500, 100, 7), (200, 0, 0)
    assert found == [(0, 0, 0), first, first, first, second, second]


async def test_of_two_that_count_it_is_the_newer_one(pool: LedgerWorld) -> None:
    """A change that was replaced before it counted never counts."""
    person = await pool.person()
    await agreed(pool, person, 1, OPENED + 4 * STEP, pooler_bps=900)
    await agreed(pool, person, 2, OPENED + 2 * STEP, pooler_bps=100)
    found = [(await terms(pool, person, BLOCK + number))[0] for number in (1, 2, 4, 9)]
    assert found == [0, 100, 100, 100]


async def test_in_a_block_that_nobody_saw_open_there_are_no_fees(pool: LedgerWorld) -> None:
    person = await pool.person()
    await agreed(pool, person, 1, OPENED, pooler_bps=500)
    assert await terms(pool, person, BLOCK - 1) == (0, 0, 0)


async def test_a_harvest_is_booked_by_its_blocks_terms(pool: LedgerWorld) -> None:
    person = await pool.person()
    await agreed(pool, person, 1, OPENED, pooler_bps=1_000)
    await agreed(pool, person, 2, OPENED + 1.5 * STEP, pooler_bps=3_000)
    for block in (BLOCK, BLOCK + 1, BLOCK + 2):
        await pool.harvested(person, block=block, reward_amount=100, stake_returned=0)
    assert await pool.earned(person) == (90 + 90 + 70, 300, 3)
    assert await pool.balances(pool.pooler) == {"pooler:fee": 10 + 10 + 30}
