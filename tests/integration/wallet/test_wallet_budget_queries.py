"""The queries of the fee budgets over real tables: what counts, for whom, and until when."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.common.db.pool import Database, Session
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.budget import SPONSORED, FeeTerms, SponsorTerms
from services.wallet.domain.errors import SponsorshipBudgetError
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.budget import (
    FeesSpent,
    book,
    fees_spent,
    may_raise,
    rent_committed,
)
from services.wallet.store.wallets import WalletStore
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRows, ago

BLOCK = 10
#: An hour (of the clock) and a pooler; the bounds are told by the database's own clock.
CHARGED = """
INSERT INTO wallet.fee_hours (hour, pooler_id, stroops)
VALUES (date_trunc('hour', now() - make_interval(hours => $1)), $2, $3)
"""
AT_THE_BOUND = """
INSERT INTO wallet.transactions (
    id, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger, is_rent,
    created_at
)
VALUES ($1, 'at the bound', 1, '', '', '', 1, 1000, 1, true, now() - interval '24 hours')
"""


@pytest.fixture
async def session(rows: WalletRows) -> AsyncIterator[Session]:
    """One transaction, in which now is one moment."""
    async with rows.pool.transaction() as opened:
        yield opened


async def committed(session: Session) -> dict[PoolerId | None, int]:
    """What is charged or bid, by pooler."""
    rows = await session.many("fees_committed")
    return {row["pooler_id"]: row["stroops"] for row in rows}


# What is spent --------------------------------------------------------------------------------


async def test_what_was_charged_within_24_full_hours_counts(
    session: Session, rows: WalletRows
) -> None:
    one, other = PoolerId(new_id()), PoolerId(new_id())
    for hours, pooler, stroops in (
        (0, one, 7),
        (23, one, 7),
        (24, one, 100),
        (25, one, 1000),
        (0, other, 3),
        (0, None, 5),
    ):
        await session.connection.execute(CHARGED, hours, pooler, stroops)
    assert await committed(session) == {one: 114, other: 3, None: 5}


async def test_what_is_in_flight_is_bid_by_those_whose_operations_it_carries(
    session: Session, rows: WalletRows
) -> None:
    people = [await rows.wallet() for _ in range(3)]
    one, other, _ = people
    ids = [await rows.operation(item, "plant") for item in people]
    await rows.transaction("a", "signed", ids[:2], fee_bid=101)
    await rows.transaction("b", "sent", ids[:1], fee_bid=10)
    await rows.transaction("c", "sent", fee_bid=30)
    # Another transaction bids as much for the pool itself.
    await rows.transaction("d", "signed", fee_bid=30)
    await rows.transaction("e", "succeeded", ids, fee_bid=1000)
    await rows.transaction("f", "signed", fee_bid=10_000, is_rent=True)
    await session.connection.execute(CHARGED, 0, one.pooler_id, 10)
    assert await committed(session) == {one.pooler_id: 71, other.pooler_id: 51, None: 60}
    assert await fees_spent(session) == FeesSpent(all=182, largest_pooler=71)


async def test_nothing_is_spent_before_the_first_fee(session: Session) -> None:
    assert await fees_spent(session) == FeesSpent(all=0, largest_pooler=0)
    await session.connection.execute(CHARGED, 0, None, 5)
    assert await fees_spent(session) == FeesSpent(all=5, largest_pooler=0)


# What is to follow ----------------------------------------------------------------------------


async def heads(rows: WalletRows) -> None:
    """Block BLOCK is open."""
    await rows.connection.execute(
        "INSERT INTO chain.head (ledger, close_time, current_block, plantable_block, paused, "
        "block_seconds) VALUES (100, now(), $1, $1, false, 300)",
        BLOCK,
    )


async def obligations(session: Session) -> dict[PoolerId | None, int]:
    """Works and harvests to come, by pooler."""
    rows = await session.many("fee_obligations")
    return {row["pooler_id"]: row["operations"] for row in rows}


@pytest.mark.parametrize(
    ("block", "state", "operations"),
    [
        (BLOCK + 1, "signed", 2),
        (BLOCK, "sent", 2),
        (BLOCK, "succeeded", 2),
        (BLOCK - 1, "succeeded", 1),
        (BLOCK - 2, "succeeded", None),
        (BLOCK, "queued", None),
        (BLOCK, "failed", None),
    ],
)
async def test_a_plant_is_followed_by_a_work_and_a_harvest(
    session: Session, rows: WalletRows, block: int, state: str, operations: int | None
) -> None:
    await heads(rows)
    person, other = await rows.wallet(), await rows.wallet()
    await rows.operation(person, "plant", state, block=block)
    # Other people have worked, whatever follows of that is settled.
    await rows.operation(other, "work", "succeeded", block=block)
    await rows.operation(other, "harvest", "succeeded", block=block)
    found = await obligations(session)
    assert found == ({} if operations is None else {person.pooler_id: operations})


@pytest.mark.parametrize(
    ("beside", "operations"),
    [
        (("work", "succeeded", BLOCK), 1),
        (("work", "succeeded", BLOCK - 1), 2),
        (("work", "failed", BLOCK), 2),
        (("harvest", "succeeded", BLOCK), 2),
        # What is on its way counts itself, and may still fail.
        (("work", "queued", BLOCK), 3),
    ],
)
async def test_a_work_that_has_succeeded_is_not_to_follow_any_more(
    session: Session, rows: WalletRows, beside: tuple[str, str, int], operations: int
) -> None:
    await heads(rows)
    person = await rows.wallet()
    await rows.operation(person, "plant", "succeeded", block=BLOCK)
    kind, state, block = beside
    await rows.operation(person, kind, state, block=block)
    assert await obligations(session) == {person.pooler_id: operations}


async def test_works_and_harvests_on_their_way_count_whatever_their_block(
    session: Session, rows: WalletRows
) -> None:
    await heads(rows)
    expected: dict[PoolerId | None, int] = {}
    for kind in ("work", "harvest"):
        for state in ("queued", "signed", "sent"):
            person = await rows.wallet()
            await rows.operation(person, kind, state)
            expected[person.pooler_id] = 1
    both = await rows.wallet()
    for kind in ("work", "harvest"):
        await rows.operation(both, kind, block=BLOCK - 5)
        await rows.operation(both, kind, "succeeded", block=BLOCK)
        await rows.operation(both, kind, "expired", block=BLOCK)
    await rows.operation(both, "onboard")
    assert await obligations(session) == expected | {both.pooler_id: 2}


# The treasury ---------------------------------------------------------------------------------


async def test_the_treasury_can_spend_what_no_reserve_keeps(
    session: Session, rows: WalletRows
) -> None:
    for kind in ("farmer", "treasury", "channel"):
        xlm, reserves = (10**9, 3) if kind == "treasury" else (10**8, 1)
        await rows.wallet(kind, xlm_stroops=xlm, reserves=reserves)
    row = await session.one("treasury_stroops")
    assert row is not None
    assert row["stroops"] == 10**9 - 5 * 5_000_000


# Booking --------------------------------------------------------------------------------------


async def booked(session: Session) -> list[tuple[PoolerId | None, int]]:
    """What is booked for this hour, in the order in which it was written."""
    rows = await session.connection.fetch(
        "SELECT pooler_id, stroops FROM wallet.fee_hours WHERE hour = date_trunc('hour', now()) "
        "ORDER BY ctid"
    )
    return [(row["pooler_id"], row["stroops"]) for row in rows]


async def test_fees_are_added_up_by_hour_and_pooler(session: Session, rows: WalletRows) -> None:
    one, other, free, least = [await rows.wallet() for _ in range(4)]
    first, second, third, nothing, little = [
        await rows.operation(person, block=block)
        for block, person in enumerate((one, one, other, free, least))
    ]
    fees = [(first, 100), (second, 20), (third, 3), (None, 7), (nothing, 0), (little, 1)]
    await book(session, fees)
    expected = {one.pooler_id: 120, other.pooler_id: 3, None: 7, least.pooler_id: 1}
    assert dict(await booked(session)) == expected
    await book(session, [(first, 1), (None, 1)])
    assert dict(await booked(session)) == expected | {one.pooler_id: 121, None: 8}


async def test_fees_are_booked_in_the_order_of_poolers_so_that_nobody_locks_crosswise(
    session: Session, rows: WalletRows
) -> None:
    people = [await rows.wallet() for _ in range(12)]
    ids = [await rows.operation(person, "plant") for person in people]
    await book(session, [(name, 1) for name in reversed(ids)])
    found = [pooler for pooler, _ in await booked(session)]
    assert found == [person.pooler_id for person in people]


# Rent -----------------------------------------------------------------------------------------


async def test_rent_counts_as_it_was_bid_until_it_is_charged(
    session: Session, rows: WalletRows
) -> None:
    assert await rent_committed(session) == 0
    for source, state, hours, bid, charged in (
        ("a", "signed", 0, 1, 0),
        ("b", "sent", 0, 2, 0),
        ("c", "succeeded", 0, 500, 4),
        ("d", "excluded", 0, 500, 0),
        ("e", "succeeded", 23, 500, 8),
        ("f", "succeeded", 25, 500, 500),
    ):
        await rows.transaction(
            source,
            state,
            fee_bid=bid,
            fee_charged=charged,
            is_rent=True,
            created_at=ago(hours=hours),
        )
    await rows.transaction("g", "signed", fee_bid=500)
    await session.connection.execute(AT_THE_BOUND, new_id())
    assert await rent_committed(session) == 1 + 2 + 4 + 8


# What a transaction carries -------------------------------------------------------------------


async def test_a_bid_is_told_once_for_each_operation_with_its_pooler(
    session: Session, rows: WalletRows
) -> None:
    one, other, beside = [await rows.wallet() for _ in range(3)]
    ids = [
        await rows.operation(person, block=block)
        for block, person in enumerate((one, one, other, beside))
    ]
    await rows.transaction("a", "signed", ids[3:], fee_bid=5)
    carrying = await rows.transaction("b", "signed", ids[:3], fee_bid=90)
    alone = await rows.transaction("c", "signed", fee_bid=7)
    found = await session.many("carried_by", carrying)
    expected = [(90, one.pooler_id), (90, one.pooler_id), (90, other.pooler_id)]
    assert sorted(map(tuple, found)) == sorted(expected)
    assert [tuple(row) for row in await session.many("carried_by", alone)] == [(7, None)]
    assert await session.many("carried_by", new_id()) == []
    # 102 are bid already; the bid of 90 may grow by 20.
    terms = FeeTerms(daily=122)
    assert await may_raise(session, terms, carrying, bid=108)
    assert not await may_raise(session, terms, carrying, bid=111)


# Reserves -------------------------------------------------------------------------------------


async def made(pool: Database, pooler: PoolerId, *, budget: int = 0, in_all: int = 0) -> bool:
    """Whether a new farmer of the pooler gets its wallet within the budgets."""
    sealed = await seal_new_key(LocalKeyProvider(bytes(32)), WalletId(new_id()))
    try:
        return await WalletStore(pool, ORDERS).insert_farmer(
            sealed,
            farmer_id=FarmerId(new_id()),
            pooler_id=pooler,
            onboarding_id=OperationId(new_id()),
            budget=SponsorTerms(pooler=budget, pool=in_all),
        )
    except SponsorshipBudgetError as error:
        limits = {"pooler": budget, "pool": in_all}
        assert error.metadata["limit"] == str(limits[error.metadata["of"]])
        return False


async def test_a_pooler_gets_no_more_new_accounts_than_its_budget_sponsors_even_at_once(
    rows: WalletRows,
) -> None:
    greedy, other = PoolerId(new_id()), PoolerId(new_id())
    asked = (made(rows.pool, greedy, budget=3 * SPONSORED) for _ in range(8))
    assert sum(await asyncio.gather(*asked)) == 3
    assert await made(rows.pool, other, budget=3 * SPONSORED)
    # A budget below one account allows none, and no budget allows all.
    assert not await made(rows.pool, PoolerId(new_id()), budget=SPONSORED - 1)
    assert await made(rows.pool, greedy, budget=0)
    # Nothing is left of what was refused.
    wallets = await rows.connection.fetchval(
        "SELECT count(*) FROM wallet.wallets WHERE pooler_id = $1", greedy
    )
    assert wallets == 4


async def test_all_poolers_together_get_no_more_than_the_pools_budget_even_at_once(
    rows: WalletRows,
) -> None:
    """Whoever may invent poolers has no other budget than all that are there."""
    asked = (
        made(rows.pool, PoolerId(new_id()), budget=SPONSORED, in_all=3 * SPONSORED)
        for _ in range(8)
    )
    assert sum(await asyncio.gather(*asked)) == 3
    assert not await made(rows.pool, PoolerId(new_id()), in_all=4 * SPONSORED - 1)
    assert await made(rows.pool, PoolerId(new_id()), in_all=4 * SPONSORED)


async def test_what_was_sponsored_yesterday_does_not_count(rows: WalletRows) -> None:
    pooler = PoolerId(new_id())
    for hours in (23, 25):
        account = await rows.wallet(pooler=pooler)
        await rows.connection.execute(
            "UPDATE wallet.wallets SET created_at = now() - make_interval(hours => $2)"
            " WHERE id = $1",
            account.id,
            hours,
        )
    # Only farmers are sponsored.
    await rows.wallet("channel")
    assert await made(rows.pool, pooler, budget=2 * SPONSORED, in_all=2 * SPONSORED)
    assert not await made(rows.pool, pooler, budget=2 * SPONSORED)
    assert not await made(rows.pool, PoolerId(new_id()), in_all=2 * SPONSORED)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM wallet.wallets",
        "UPDATE wallet.wallets SET created_at = '2021-01-01Z'",
        "UPDATE wallet.wallets SET pooler_id = gen_random_uuid()",
        "UPDATE wallet.wallets SET kind = 'channel', farmer_id = NULL, pooler_id = NULL",
    ],
)
async def test_wallets_role_takes_nothing_from_what_was_sponsored(
    rows: WalletRows, database: DatabaseAccess, statement: str
) -> None:
    await rows.wallet()
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await thief.execute(statement)
