"""The database of shares: one suite for SQLite and PostgreSQL."""

import asyncio
import dataclasses
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from libs.common.db.queries import load_queries
from libs.common.ids import FarmerId, new_id
from pooler.shares.domain.model import (
    Best,
    BlockRow,
    BlockState,
    Miner,
    MinerId,
    NewMiner,
    Part,
    Share,
    WorkerRow,
)
from pooler.shares.domain.terms import Terms
from pooler.shares.domain.withholding import Tally
from pooler.shares.store.database import QUERIES
from pooler.shares.store.opening import open_store
from pooler.shares.store.sqlite import in_sqlite, open_sqlite
from pooler.shares.store.store import (
    KEPT_WORKER_BLOCKS,
    LateShares,
    MinerResult,
    RecentShares,
    Store,
)
from tests.support.database import DatabaseFactory, connect

TERMS = Terms(miners_bps=1000, own_hashes_take_part=True)
NOW = 1_769_860_800_000
FARMERS = [FarmerId(new_id()) for _ in range(3)]
#: Queries whose rows become these classes.
ROWS = {
    "miner": Miner,
    "miner_of_credential": Miner,
    "miners_after": Miner,
    "bans_after": Miner,
    "add_miner": Miner,
    "worker": WorkerRow,
    "worker_of_number": WorkerRow,
    "workers_of": WorkerRow,
    "block": BlockRow,
    "blocks_before": BlockRow,
    "blocks_in": BlockRow,
    "open_blocks_before": BlockRow,
    "shares_of_block": Share,
    "bests": Best,
    "recent_shares": RecentShares,
    "results_of_miner": MinerResult,
}

#: Opens the same database again.
Reopen = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture(params=["sqlite", "postgres"])
async def reopen(
    request: pytest.FixtureRequest, tmp_path: Path, database_factory: DatabaseFactory
) -> AsyncIterator[Reopen]:
    """What opens one database, which is empty at first."""
    if request.param == "sqlite":
        yield lambda: open_store(str(tmp_path / "shares.db"))
        return
    async with database_factory.create(template="template1") as access:
        yield lambda: open_store(access.admin_dsn)


@pytest.fixture
async def store(reopen: Reopen) -> AsyncIterator[Store]:
    """An open store."""
    async with reopen() as opened:
        yield opened


async def joined(store: Store, number: int = 1) -> Miner:
    new = NewMiner(
        miner_id=MinerId(new_id()),
        credential_hash=bytes([number]) * 32,
        address=f"G{number}",
        name=f"miner {number}",
        terms="t",
        joined_at=NOW,
    )
    miner = await store.add_miner(new, most=100)
    assert miner is not None
    return miner


async def worker_of(store: Store, miner: Miner, name: str = "rig") -> WorkerRow:
    worker = await store.worker(miner.number, name, at=NOW, most=10)
    assert worker is not None
    return worker


async def opened(store: Store, block: int = 7) -> list[int]:
    """Open a block; return the farmers' numbers."""
    await store.open_block(block, bytes(32), at=NOW + block, terms=TERMS)
    return await store.farmer_numbers(FARMERS)


def share(worker: int, farmer: int, nonce: int, **more: Any) -> Share:
    given = {"block": 7, "points": 16, "zeros": 1, "at": NOW}
    return Share(worker=worker, farmer=farmer, nonce=nonce, **{**given, **more})


async def test_poolers_may_make_the_database_at_the_same_moment(reopen: Reopen) -> None:
    async with AsyncExitStack() as stack:
        stores = await asyncio.gather(*(stack.enter_async_context(reopen()) for _ in range(4)))
        first = await joined(stores[0])
        found = [await store.miner_of_credential(bytes([1]) * 32) for store in stores]
    assert found == [first] * 4


async def test_the_key_of_jobs_is_made_once(reopen: Reopen) -> None:
    async with reopen() as store:
        keys = {await store.job_key() for _ in range(3)}
    async with reopen() as again:
        keys.add(await again.job_key())
    assert [len(key) for key in keys] == [32]


async def test_a_miner_is_found_by_its_credential_and_its_id(store: Store) -> None:
    miner = await joined(store)
    other = await joined(store, 2)
    assert await store.miner_of_credential(bytes([1]) * 32) == miner
    assert await store.miner_of_credential(bytes(32)) is None
    assert await store.miner(other.miner_id) == other
    assert await store.miner(MinerId(new_id())) is None
    assert await store.miners() == [miner, other]
    assert await store.miners(after=miner.number) == [other]
    assert await store.count_miners() == 2


async def test_there_are_only_so_many_miners(store: Store) -> None:
    await joined(store)
    new = NewMiner(
        miner_id=MinerId(new_id()),
        credential_hash=bytes(32),
        address="G",
        name="",
        terms="t",
        joined_at=NOW,
    )
    assert await store.add_miner(new, most=1) is None
    assert await store.count_miners() == 1


async def test_a_ban_has_an_end(store: Store) -> None:
    miner, _ = await joined(store), await joined(store, 2)
    assert await store.ban(miner.miner_id, until=NOW + 10, why="x")
    assert not await store.ban(MinerId(new_id()), until=NOW, why="x")
    (banned,) = await store.bans(NOW)
    assert banned == dataclasses.replace(miner, banned_until=NOW + 10, ban_reason="x")
    assert await store.bans(NOW + 10) == []
    await store.ban(miner.miner_id, until=0, why="")
    assert await store.bans(NOW) == []


async def test_a_miner_agrees_to_terms(store: Store) -> None:
    miner = await joined(store)
    await store.agree(miner.number, "u")
    found = await store.miner(miner.miner_id)
    assert found is not None
    assert found.terms == "u"


async def test_workers_are_a_miners_own(store: Store) -> None:
    first, second = await joined(store), await joined(store, 2)
    one = await worker_of(store, first)
    assert await worker_of(store, first) == one
    other = await worker_of(store, second)
    assert other.number != one.number
    assert await store.worker(first.number, "b", at=NOW, most=1) is None
    assert await store.workers_of(first.number) == [one]
    assert await store.worker_of_number(other.number) == other
    assert await store.worker_of_number(99) is None
    assert await store.miners_of_workers([one.number, other.number]) == {
        one.number: first.number,
        other.number: second.number,
    }


async def test_farmers_keep_their_numbers(store: Store) -> None:
    numbers = await store.farmer_numbers(FARMERS)
    assert len(set(numbers)) == 3
    more = [FarmerId(new_id()), *reversed(FARMERS)]
    assert (await store.farmer_numbers(more))[1:] == numbers[::-1]


async def test_no_share_is_credited_twice(store: Store) -> None:
    miner = await joined(store)
    worker, other = await worker_of(store, miner), await worker_of(store, miner, "b")
    first, second, _ = await opened(store)
    shares = [share(worker.number, first, 1), share(worker.number, first, 2)]
    credited = await store.credit(shares, [])
    assert credited.new == {one.key for one in shares}
    assert credited.known == set()
    again = [shares[0], share(other.number, first, 2), share(worker.number, second, 1)]
    credited = await store.credit(again, [])
    assert credited.new == {(7, second, 1)}
    assert credited.known == {one.key for one in shares}
    assert sorted(await store.shares_of_block(7), key=lambda one: one.key) == sorted(
        [*shares, again[2]], key=lambda one: one.key
    )


async def test_the_same_share_twice_in_one_commit_is_credited_once(store: Store) -> None:
    worker = await worker_of(store, await joined(store))
    farmer, *_ = await opened(store)
    one = share(worker.number, farmer, 2**63 - 1)
    assert (await store.credit([one, one], [])).new == {one.key}
    assert await store.shares_of_block(7) == [one]


async def test_two_poolers_at_once_credit_a_share_once(reopen: Reopen) -> None:
    async with reopen() as one, reopen() as other:
        worker = await worker_of(one, await joined(one))
        farmer, *_ = await opened(one)
        shares = [share(worker.number, farmer, nonce) for nonce in range(50)]
        both = await asyncio.gather(one.credit(shares, []), other.credit(shares[::-1], []))
        assert both[0].new | both[1].new == {item.key for item in shares}
        assert not both[0].new & both[1].new
        assert len(await one.shares_of_block(7)) == 50


async def test_a_block_that_is_closed_or_unknown_credits_nothing(store: Store) -> None:
    worker = await worker_of(store, await joined(store))
    farmer, *_ = await opened(store)
    await store.close_blocks(8)
    for one in (share(worker.number, farmer, 1), share(worker.number, farmer, 1, block=99)):
        credited = await store.credit([one], [])
        assert (credited.new, credited.known) == (set(), set())
    assert await store.shares_of_block(7) == []


async def test_of_a_farmer_the_best_nonce_is_kept(store: Store) -> None:
    worker = await worker_of(store, await joined(store))
    first, second, _ = await opened(store)

    def best(farmer: int, nonce: int, zeros: int) -> Best:
        return Best(block=7, farmer=farmer, nonce=nonce, zeros=zeros)

    await store.credit([share(worker.number, first, 1)], [best(first, 1, 5), best(second, 2, 3)])
    await store.keep_bests([best(first, 3, 4), best(second, 2**64 - 1, 4), best(first, 9, 5)])
    assert await store.bests(7) == [best(first, 1, 5), best(second, 2**64 - 1, 4)]
    assert await store.bests(8) == []


async def test_a_block_is_opened_once_with_the_terms_of_then(store: Store) -> None:
    row = await store.open_block(7, b"a" * 32, at=NOW, terms=TERMS)
    assert row.state is BlockState.MINED
    other = dataclasses.replace(TERMS, miners_bps=5)
    assert await store.open_block(7, b"b" * 32, at=NOW + 1, terms=other) == row
    assert await store.block(7) == row
    assert await store.block(8) is None


async def test_a_block_goes_one_way(store: Store) -> None:
    await opened(store)
    assert not await store.divide(7, rewards=1, pot=0, parts=[])
    assert not await store.hand_on(7)
    assert await store.send_block(7, at=NOW)
    assert not await store.send_block(7, at=NOW + 1)
    assert await store.close_blocks(7) == []
    assert await store.close_blocks(8) == [7]
    assert await store.close_blocks(8) == []
    assert not await store.send_block(7, at=NOW)
    assert await store.divide(7, rewards=100, pot=10, parts=[])
    assert not await store.divide(7, rewards=200, pot=20, parts=[])
    assert [row.block for row in await store.blocks_in(BlockState.FINAL)] == [7]
    assert await store.blocks_in(BlockState.FINAL, after=7) == []
    assert await store.hand_on(7)
    assert not await store.hand_on(7)
    row = await store.block(7)
    assert row is not None
    assert (row.state, row.sent_at, row.rewards, row.pot) == (BlockState.HANDED_ON, NOW, 100, 10)


async def test_own_hashes_only_grow_and_only_while_a_block_is_mined(store: Store) -> None:
    await opened(store)
    for hashes in (5, 3, 2**62):
        await store.note_own_hashes(7, hashes)
    await store.close_blocks(8)
    await store.note_own_hashes(7, 2**62 + 1)
    row = await store.block(7)
    assert row is not None
    assert row.own_hashes == 2**62


async def test_a_closed_block_has_what_each_did(store: Store) -> None:
    first, second = await joined(store), await joined(store, 2)
    one, two = await worker_of(store, first), await worker_of(store, first, "b")
    three = await worker_of(store, second)
    farmer, *_ = await opened(store)
    await store.credit(
        [
            share(one.number, farmer, 1, points=2**40, zeros=10),
            share(one.number, farmer, 2, points=2**40, zeros=12),
            share(two.number, farmer, 3, points=100, zeros=3),
            share(three.number, farmer, 4, points=50, zeros=2),
        ],
        [],
    )
    await store.close_blocks(8)
    assert await store.points_of_block(7) == {first.number: 2**41 + 100, second.number: 50}
    (past,) = await store.past_of_worker(one.number, until_block=7, since=NOW)
    assert past.opened_at == NOW + 7
    assert (past.done.shares, past.done.points, past.done.best) == (2, 2**41, 12)
    assert past.done.squares == pytest.approx(2 * 2.0**80)
    assert await store.past_of_worker(one.number, until_block=6, since=0) == []
    assert await store.past_of_worker(one.number, until_block=7, since=NOW + 8) == []
    row = await store.block(7)
    assert row is not None
    assert row.points == 2**41 + 150


async def test_a_miner_sees_its_blocks(store: Store) -> None:
    first, second = await joined(store), await joined(store, 2)
    one, two = await worker_of(store, first), await worker_of(store, second)
    farmer, *_ = await opened(store)
    await opened(store, 8)
    await opened(store, 9)
    await store.credit([share(one.number, farmer, 1, zeros=4)], [])
    await store.credit([share(one.number, farmer, 1, block=8)], [])
    await store.credit([share(two.number, farmer, 2, block=8)], [])
    late = [
        LateShares(block=8, worker=one.number, shares=1, points=16, latest_ms=30),
        LateShares(block=9, worker=one.number, shares=2, points=32, latest_ms=10),
    ]
    await store.note_late(late)
    await store.note_late([dataclasses.replace(late[0], shares=3, points=48, latest_ms=20)])
    await store.close_blocks(10)
    parts = [Part(block=8, miner=first.number, points=16, amount=5)]
    await store.divide(8, rewards=100, pot=10, parts=parts)
    results = await store.results(first.number, before=10, limit=10)
    assert [(one.block, one.state) for one in results] == [
        (9, BlockState.CLOSED),
        (8, BlockState.FINAL),
        (7, BlockState.CLOSED),
    ]
    late_only, divided, plain = results
    assert (late_only.shares, late_only.late_shares, late_only.best) == (0, 2, -1)
    assert (divided.late_shares, divided.late_points, divided.latest_ms) == (4, 64, 30)
    assert (divided.shares, divided.points, divided.all_points) == (1, 16, 32)
    assert (divided.amount, divided.pot) == (5, 10)
    assert (plain.amount, plain.best, plain.late_shares) == (None, 4, 0)
    assert await store.results(first.number, before=8, limit=10) == [plain]
    assert await store.results(first.number, before=10, limit=1) == [late_only]
    assert len(await store.results(second.number, before=10, limit=10)) == 1


async def test_parts_are_handed_on_with_addresses(store: Store) -> None:
    first, second = await joined(store), await joined(store, 2)
    await opened(store)
    await store.close_blocks(8)
    parts = [
        Part(block=7, miner=first.number, points=3, amount=7),
        Part(block=7, miner=second.number, points=1, amount=0),
    ]
    assert await store.divide(7, rewards=10, pot=10, parts=parts)
    paid = await store.paid_parts(7)
    assert [(one.miner_id, one.address, one.points, one.amount) for one in paid] == [
        (first.miner_id, "G1", 3, 7),
        (second.miner_id, "G2", 1, 0),
    ]


async def test_a_division_is_all_or_nothing(store: Store) -> None:
    miner = await joined(store)
    await opened(store)
    await store.close_blocks(8)
    part = Part(block=7, miner=miner.number, points=3, amount=7)
    with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
        await store.divide(7, rewards=10, pot=10, parts=[part, part])
    row = await store.block(7)
    assert row is not None
    assert row.state is BlockState.CLOSED
    assert await store.divide(7, rewards=10, pot=10, parts=[part])


async def test_recent_shares_are_summed_by_slots(store: Store) -> None:
    miner = await joined(store)
    one, two = await worker_of(store, miner), await worker_of(store, miner, "b")
    farmer, *_ = await opened(store)
    await store.credit(
        [
            share(one.number, farmer, 1, at=15_000, points=3),
            share(one.number, farmer, 2, at=29_999, points=4),
            share(one.number, farmer, 3, at=30_000, points=5),
            share(two.number, farmer, 4, at=14_999, points=6),
        ],
        [],
    )

    def slot(worker: WorkerRow, number: int, shares: int, points: int, squares: float) -> Any:
        return RecentShares(
            worker=worker.number, slot=number, shares=shares, points=points, squares=squares
        )

    found = await store.recent_shares(after_block=6)
    assert found == [slot(two, 0, 1, 6, 36.0), slot(one, 1, 2, 7, 25.0), slot(one, 2, 1, 5, 25.0)]
    assert await store.recent_shares(after_block=7) == []


async def test_single_shares_of_long_ago_are_forgotten_and_their_points_are_not(
    store: Store,
) -> None:
    worker = await worker_of(store, await joined(store))
    farmer, *_ = await opened(store)
    await store.credit([share(worker.number, farmer, 1)], [])
    await store.keep_bests([Best(block=7, farmer=farmer, nonce=1, zeros=1)])
    await store.close_blocks(20)
    assert len(await store.shares_of_block(7)) == 1
    assert await store.bests(7) == []
    await store.close_blocks(21)
    assert await store.shares_of_block(7) == []
    assert len(await store.past_of_worker(worker.number, until_block=99, since=0)) == 1


async def test_what_workers_did_is_kept_for_a_month_and_until_it_is_divided(store: Store) -> None:
    miner = await joined(store)
    worker = await worker_of(store, miner)
    farmer, *_ = await opened(store)
    await opened(store, 8)
    for block in (7, 8):
        await store.credit([share(worker.number, farmer, 1, block=block)], [])
        late = LateShares(block=block, worker=worker.number, shares=1, points=1, latest_ms=1)
        await store.note_late([late])
    await store.close_blocks(9)
    part = Part(block=7, miner=miner.number, points=16, amount=1)
    await store.divide(7, rewards=10, pot=1, parts=[part])
    await store.close_blocks(7 + KEPT_WORKER_BLOCKS)
    assert await store.points_of_block(7) == {miner.number: 16}
    await store.close_blocks(9 + KEPT_WORKER_BLOCKS)
    assert await store.points_of_block(7) == {}
    assert await store.points_of_block(8) == {miner.number: 16}
    assert len(await store.paid_parts(7)) == 1


async def test_levels_grow(store: Store) -> None:
    worker = await worker_of(store, await joined(store))
    tally = Tally()
    for zeros in (3, 3, 5):
        tally.count(level=3, zeros=zeros)
    await store.keep_tallies({worker.number: tally})
    found = await store.tally_of_worker(worker.number)
    assert {zeros: (one.shares, one.better) for zeros, one in found.levels.items()} == {
        3: (3, 1),
        4: (1, 1),
        5: (1, 0),
    }
    await store.keep_tallies({worker.number: Tally()})
    assert (await store.tally_of_worker(worker.number)).size == tally.size


async def test_who_joined_and_never_came_is_forgotten(store: Store) -> None:
    idle, busy, banned = await joined(store), await joined(store, 2), await joined(store, 3)
    await worker_of(store, busy)
    await store.ban(banned.miner_id, until=NOW + 10**9, why="x")
    assert await store.forget_idle_miners(joined_before=NOW, at=NOW) == 0
    assert await store.forget_idle_miners(joined_before=NOW + 1, at=NOW) == 1
    assert [one.number for one in await store.miners()] == [busy.number, banned.number]
    assert await store.miner(idle.miner_id) is None
    # Its number is nobody else's afterwards.
    assert (await joined(store, 4)).number > banned.number


async def test_a_failure_takes_all_of_a_transaction_back(store: Store) -> None:
    worker = await worker_of(store, await joined(store))
    farmer, *_ = await opened(store)
    good, bad = share(worker.number, farmer, 1), share(worker.number, farmer, 2, points=0)
    with pytest.raises((sqlite3.IntegrityError, asyncpg.CheckViolationError)):
        await store.credit([good, bad], [])
    assert await store.shares_of_block(7) == []
    assert (await store.credit([good], [])).new == {good.key}


async def test_a_cancelled_caller_takes_all_of_its_transaction_back(store: Store) -> None:
    worker = await worker_of(store, await joined(store))
    farmer, *_ = await opened(store)
    shares = [share(worker.number, farmer, nonce) for nonce in range(500)]
    for turns in range(12):
        task = asyncio.create_task(store.credit(shares, []))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(await store.shares_of_block(7)) in {0, 500}
    await store.credit(shares, [])
    assert len(await store.shares_of_block(7)) == 500


async def test_every_query_fits_its_dataclass_in_sqlite(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "shares.db") as database, database.transaction() as session:
        for name, query in load_queries(QUERIES).items():
            sql = in_sqlite(query.sql)
            places = max(map(int, re.findall(r"\?([0-9])", sql)), default=0)

            def columns(
                db: sqlite3.Connection, sql: str = sql, places: int = places
            ) -> list[str] | None:
                try:
                    found = db.execute(sql, [1] * places)
                except sqlite3.IntegrityError:  # it is sound, but for its arguments
                    return None
                return [one[0] for one in found.description or ()]

            found = await session.run(columns)
            if name in ROWS and found is not None:
                assert found == [field.name for field in dataclasses.fields(ROWS[name])], name


async def test_every_query_fits_its_dataclass_in_postgresql(
    database_factory: DatabaseFactory,
) -> None:
    async with database_factory.create(template="template1") as access:
        async with open_store(access.admin_dsn):
            pass
        async with connect(access.admin_dsn) as connection:
            for name, query in load_queries(QUERIES).items():
                statement = await connection.prepare(query.sql)
                columns = [attribute.name for attribute in statement.get_attributes()]
                if name in ROWS:
                    assert columns == [one.name for one in dataclasses.fields(ROWS[name])], name
                assert bool(columns) == (query.kind != "exec"), name


async def test_two_poolers_make_the_tables_once(reopen: Reopen) -> None:
    stores = await asyncio.gather(*(_key(reopen) for _ in range(4)))
    assert len(set(stores)) == 1


async def _key(reopen: Reopen) -> bytes:
    async with reopen() as store:
        return await store.job_key()
