"""The queries of the database of shares over real tables: each condition, and each order.

Beside the rows that a query takes stand rows that differ in one thing, which it leaves.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pooler.shares.domain.model import BlockState
from pooler.shares.store.store import KEPT_BLOCKS, KEPT_WORKER_BLOCKS, SLOT_MS
from tests.support.database import DatabaseFactory
from tests.support.share_rows import BLOCK, NOW, ShareRows, postgres_rows, sqlite_rows

STATES = ("mined", "sent", "closed", "final", "handed_on")


@pytest.fixture(params=["sqlite", "postgres"])
async def rows(
    request: pytest.FixtureRequest, tmp_path: Path, database_factory: DatabaseFactory
) -> AsyncIterator[ShareRows]:
    """Tables with people in them, and without blocks."""
    if request.param == "sqlite":
        async with sqlite_rows(tmp_path / "shares.db") as opened:
            await opened.people()
            yield opened
        return
    async with (
        database_factory.create(template="template1") as access,
        postgres_rows(access) as opened,
    ):
        await opened.people()
        yield opened


# Facts, miners and workers -----------------------------------------------------------------------


async def test_a_fact_is_kept_once_and_read_by_its_name(rows: ShareRows) -> None:
    assert await rows.execute("keep_fact", "a", b"1") == 1
    assert await rows.execute("keep_fact", "b", b"2") == 1
    assert await rows.execute("keep_fact", "a", b"3") == 0
    assert [bytes(await rows.one("fact", name)) for name in ("a", "b")] == [b"1", b"2"]
    assert await rows.one("fact", "c") is None


async def test_miners_come_by_their_numbers_and_only_so_many(rows: ShareRows) -> None:
    async def listed(**asked: int) -> list[int]:
        return [one.number for one in await rows.store.miners(**asked)]

    assert await listed() == [1, 2, 3]
    assert await listed(limit=2) == [1, 2]
    assert await listed(after=1, limit=1) == [2]
    assert await listed(after=3) == []
    for number, ends in ((3, 11), (1, 12), (2, 10)):
        miner = next(one for one in await rows.store.miners() if one.number == number)
        await rows.store.ban(miner.miner_id, until=ends, why=f"{number}")
    assert [(one.number, one.ban_reason) for one in await rows.store.bans(9)] == [
        (1, "1"),
        (2, "2"),
        (3, "3"),
    ]
    assert [one.number for one in await rows.store.bans(10)] == [1, 3]


async def test_terms_are_agreed_to_by_one_miner(rows: ShareRows) -> None:
    await rows.store.agree(2, "u")
    assert await rows.table("miners", "number, terms") == [(1, "t"), (2, "u"), (3, "t")]


@pytest.mark.parametrize(
    ("values", "is_forgotten"),
    [
        ({}, True),
        ({"joined_at": NOW}, False),
        ({"banned_until": NOW + 4}, True),
        ({"banned_until": NOW + 5}, False),
    ],
)
async def test_idle_miners_are_forgotten_by_when_they_joined_and_their_ban(
    rows: ShareRows, values: dict[str, int], is_forgotten: bool
) -> None:
    # Miner 1 joined as early, and has a worker.
    await rows.run("UPDATE shares.miners SET joined_at = $1", NOW - 1)
    await rows.insert("miners", number=4, **{"joined_at": NOW - 1, **values})
    assert await rows.store.forget_idle_miners(joined_before=NOW, at=NOW + 5) == is_forgotten
    left = [one.number for one in await rows.store.miners()]
    assert left == ([1, 2, 3] if is_forgotten else [1, 2, 3, 4])


async def test_a_worker_is_added_once_for_each_miner_and_name(rows: ShareRows) -> None:
    for miner, name, added in ((1, "a", 1), (1, "b", 1), (2, "a", 1), (1, "a", 0)):
        assert await rows.execute("add_worker", miner, name, NOW) == added
    for miner, name in ((1, "a"), (1, "b"), (2, "a")):
        found = await rows.store.worker(miner, name, at=NOW, most=0)
        assert found is not None
        assert (found.miner, found.name) == (miner, name)
    assert await rows.store.worker(2, "b", at=NOW, most=0) is None


async def test_a_miner_may_have_only_so_many_workers(rows: ShareRows) -> None:
    assert await rows.store.worker(1, "b", at=NOW, most=2) is not None
    assert await rows.store.worker(1, "c", at=NOW, most=2) is None
    assert await rows.store.worker(1, "b", at=NOW, most=2) is not None
    assert await rows.store.worker(2, "c", at=NOW, most=2) is not None


async def test_a_miners_workers_come_by_their_numbers(rows: ShareRows) -> None:
    for number in (52, 51, 53):
        await rows.insert("workers", number=number, miner=1)
    assert [one.number for one in await rows.store.workers_of(1)] == [30, 51, 52, 53]
    assert await rows.store.miners_of_workers([30, 10, 99]) == {30: 1, 10: 3}


# Blocks ------------------------------------------------------------------------------------------


async def test_blocks_come_by_number_before_or_after_one(rows: ShareRows) -> None:
    await rows.blocks(8, 6, 7, 9)
    await rows.blocks(10, 5, state="sent")

    async def before(block: int, limit: int) -> list[int]:
        return [one.block for one in await rows.store.blocks(before=block, limit=limit)]

    async def within(state: str, after: int, limit: int) -> list[int]:
        found = await rows.store.blocks_in(BlockState(state), after=after, limit=limit)
        return [one.block for one in found]

    assert await before(10, 9) == [9, 8, 7, 6, 5]
    assert await before(9, 2) == [8, 7]
    assert await within("mined", 0, 9) == [6, 7, 8, 9]
    assert await within("mined", 6, 2) == [7, 8]
    assert await within("sent", 0, 9) == [5, 10]
    assert await within("final", 0, 9) == []


async def test_only_open_blocks_before_one_are_closed_in_their_order(rows: ShareRows) -> None:
    await rows.blocks(8, 6, 20)
    await rows.blocks(7, 21, state="sent")
    for block, state in enumerate(STATES[2:], start=10):
        await rows.blocks(block, state=state)
    assert [one[0] for one in await rows.many("open_blocks_before", 20)] == [6, 7, 8]
    assert await rows.store.close_blocks(20) == [6, 7, 8]
    assert await rows.table("blocks", "block, state") == [
        *((block, "closed") for block in (6, 7, 8)),
        *enumerate(STATES[2:], start=10),
        (20, "mined"),
        (21, "sent"),
    ]


#: What leads to each state, and from where; with arguments after the block.
STEPS: dict[str, tuple[set[str], str, tuple[int, ...]]] = {
    "send_block": ({"mined"}, "sent", (NOW,)),
    "close_block": ({"mined", "sent"}, "closed", ()),
    "divide_block": ({"closed"}, "final", (100, 10)),
    "hand_on_block": ({"final"}, "handed_on", ()),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("state", STATES)
async def test_a_block_goes_on_from_the_state_before_and_no_other_with_it(
    rows: ShareRows, name: str, state: str
) -> None:
    sources, target, arguments = STEPS[name]
    await rows.blocks(1, 2, 3, state=state)
    assert await rows.execute(name, 2, *arguments) == (state in sources)
    after = target if state in sources else state
    assert await rows.table("blocks", "block, state") == [(1, state), (2, after), (3, state)]


@pytest.mark.parametrize("state", STATES)
async def test_own_hashes_and_shares_are_taken_while_a_block_is_open(
    rows: ShareRows, state: str
) -> None:
    await rows.blocks(6, BLOCK, state=state)
    is_open = state in {"mined", "sent"}
    assert await rows.execute("note_own_hashes", BLOCK, 5) == is_open
    assert await rows.execute("note_own_hashes", BLOCK, 5) == 0
    assert await rows.execute("note_own_hashes", BLOCK, 4) == 0
    assert await rows.table("blocks", "own_hashes") == [(0,), (5 * is_open,)]
    await rows.each("add_share", (BLOCK, 1, 2, 30, 4, 5, NOW))
    assert await rows.table("shares", "block, farmer, nonce, worker, points, zeros, at") == (
        [(BLOCK, 1, 2, 30, 4, 5, NOW)] if is_open else []
    )


async def test_a_closed_block_has_the_points_of_its_workers(rows: ShareRows) -> None:
    await rows.blocks(6, BLOCK, 8)
    for block, worker, points in ((6, 30, 100), (BLOCK, 30, 5), (BLOCK, 20, 7)):
        await rows.insert("worker_blocks", block=block, worker=worker, points=points)
    for block in (BLOCK, 8):
        assert await rows.execute("close_block", block) == 1
    assert await rows.table("blocks", "block, points") == [(6, 0), (BLOCK, 12), (8, 0)]


# Shares ------------------------------------------------------------------------------------------


async def test_a_share_is_known_by_block_farmer_and_nonce(rows: ShareRows) -> None:
    await rows.blocks(6, BLOCK)
    for block, farmer, nonce in ((BLOCK, 1, 1), (BLOCK, 1, 2), (BLOCK, 2, 1), (6, 1, 1)):
        await rows.insert("shares", block=block, farmer=farmer, nonce=nonce)
    assert await rows.many("share", BLOCK, 1, 1) == [(BLOCK, 1, 1)]
    assert await rows.many("share", 6, 1, 2) == []
    assert {one.key for one in await rows.store.shares_of_block(6)} == {(6, 1, 1)}


async def test_bests_come_by_farmer_and_only_a_better_one_takes_the_place(rows: ShareRows) -> None:
    await rows.blocks(6, BLOCK)
    for farmer in (2, 1, 3):
        await rows.insert("bests", farmer=farmer, nonce=f"{farmer}", zeros=5)
    await rows.insert("bests", block=6, farmer=4)
    for farmer, zeros in ((1, 4), (2, 5), (3, 6)):
        await rows.each("keep_best", (BLOCK, farmer, "9", zeros))
    assert [one[1:] for one in await rows.many("bests", BLOCK)] == [
        (1, "1", 5),
        (2, "2", 5),
        (3, "9", 6),
    ]


async def test_recent_shares_come_in_the_order_of_their_slots(rows: ShareRows) -> None:
    await rows.blocks(6, BLOCK)
    slots = [7, 3, 9, 1, 5, 8, 2, 6, 4, 0]
    for number, slot in enumerate(slots):
        await rows.insert("shares", at=slot * SLOT_MS, worker=(30, 20, 10)[number % 3])
    await rows.insert("shares", block=6)
    found = await rows.store.recent_shares(after_block=6)
    assert [one.slot for one in found] == sorted(slots)


async def test_of_a_slot_shares_points_and_their_squares_are_summed(rows: ShareRows) -> None:
    await rows.blocks(BLOCK)
    for points in (3, 4):
        await rows.insert("shares", points=points, at=SLOT_MS)
    ((worker, slot, shares, points, squares),) = await rows.many("recent_shares", SLOT_MS, 6)
    assert (worker, slot, shares, points, squares) == (30, 1, 2, 7, 25.0)


@pytest.mark.parametrize(("noted", "latest"), [((10, 30), 30), ((30, 10), 30), ((10, 10), 10)])
async def test_late_shares_add_up_and_the_latest_of_them_is_told(
    rows: ShareRows, noted: tuple[int, int], latest: int
) -> None:
    await rows.blocks(6, BLOCK)
    for number, latest_ms in enumerate(noted, start=1):
        await rows.each("add_late", (BLOCK, 30, number, 10 * number, latest_ms))
    await rows.each("add_late", (6, 30, 1, 1, 99), (BLOCK, 20, 1, 1, 99))
    assert await rows.table("late_shares", "block, worker, shares, points, latest_ms") == [
        (6, 30, 1, 1, 99),
        (BLOCK, 20, 1, 1, 99),
        (BLOCK, 30, 3, 30, latest),
    ]


async def test_what_each_worker_did_in_a_block_is_written_once(rows: ShareRows) -> None:
    await rows.blocks(6, BLOCK)
    for block, worker, points, zeros in (
        (BLOCK, 30, 3, 2),
        (BLOCK, 30, 4, 9),
        (BLOCK, 30, 5, 4),
        (BLOCK, 20, 6, 1),
        (6, 30, 7, 1),
    ):
        await rows.insert("shares", block=block, worker=worker, points=points, zeros=zeros)
    written = [(BLOCK, 20, 1, 6, 36.0, 1), (BLOCK, 30, 3, 12, 50.0, 9)]
    for added in (2, 0):
        assert await rows.execute("write_worker_blocks", BLOCK) == added
        columns = "block, worker, shares, points, squares, best"
        assert await rows.table("worker_blocks", columns) == written


async def test_a_workers_past_is_its_own_up_to_a_block_and_since_a_moment(rows: ShareRows) -> None:
    for block in (8, 6, 9, 7, 5):
        await rows.insert("blocks", block=block, opened_at=NOW + block)
        await rows.insert("worker_blocks", block=block, points=block)
        await rows.insert("worker_blocks", block=block, worker=20, points=100)

    async def past(until_block: int, since: int) -> list[tuple[int, int]]:
        found = await rows.store.past_of_worker(30, until_block=until_block, since=since)
        return [(one.opened_at - NOW, one.done.points) for one in found]

    assert await past(9, 0) == [(block, block) for block in (5, 6, 7, 8, 9)]
    assert await past(8, NOW + 6) == [(block, block) for block in (6, 7, 8)]


async def test_points_of_a_block_are_summed_by_miner_in_their_order(rows: ShareRows) -> None:
    await rows.blocks(6, BLOCK)
    await rows.insert("workers", number=40, miner=1)
    for block, worker, points in (
        (BLOCK, 10, 1),
        (BLOCK, 20, 2),
        (BLOCK, 30, 4),
        (BLOCK, 40, 8),
        (6, 30, 16),
    ):
        await rows.insert("worker_blocks", block=block, worker=worker, points=points)
    assert await rows.many("points_of_block", BLOCK) == [(1, 12), (2, 2), (3, 1)]


# Parts and results -------------------------------------------------------------------------------


async def test_parts_are_a_blocks_own_by_miner(rows: ShareRows) -> None:
    await rows.blocks(6, BLOCK)
    for miner in (3, 1, 2):
        await rows.insert("parts", miner=miner, amount=miner)
    await rows.insert("parts", block=6)
    addresses = dict(await rows.table("miners", "number, address"))
    paid = await rows.store.paid_parts(BLOCK)
    assert [(one.address, one.amount) for one in paid] == [
        (addresses[miner], miner) for miner in (1, 2, 3)
    ]


async def test_a_result_sums_up_what_a_miners_workers_did(rows: ShareRows) -> None:
    await rows.blocks(6, BLOCK, 8, state="closed")
    await rows.insert("workers", number=40, miner=1)
    same: dict[str, Any] = {"shares": 2, "points": 3}
    for worker, best, latest_ms in ((30, 4, 9), (40, 4, 9), (20, 8, 99)):
        await rows.insert("worker_blocks", worker=worker, best=best, **same)
        await rows.insert("late_shares", worker=worker, latest_ms=latest_ms, **same)
    for block in (6, 8):
        await rows.insert("worker_blocks", block=block, worker=20)
        await rows.insert("late_shares", block=block, worker=20)
    for miner in (1, 2):
        await rows.insert("parts", miner=miner, amount=miner)
    await rows.insert("parts", block=6, amount=7)
    (found,) = await rows.store.results(1, before=99, limit=9)
    assert (found.block, found.shares, found.points, found.best) == (BLOCK, 4, 6, 4)
    assert (found.late_shares, found.late_points, found.latest_ms) == (4, 6, 9)
    assert found.amount == 1


async def test_results_have_the_best_and_the_latest_and_nothing_that_is_not_there(
    rows: ShareRows,
) -> None:
    await rows.blocks(6, BLOCK, 8, state="closed")
    await rows.insert("workers", number=40, miner=1)
    for worker, best, latest_ms in ((30, 5, 20), (40, 4, 30)):
        await rows.insert("worker_blocks", worker=worker, best=best)
        await rows.insert("late_shares", block=8, worker=worker, latest_ms=latest_ms)
    late, done = await rows.store.results(1, before=99, limit=9)
    assert (late.block, late.shares, late.points, late.best) == (8, 0, 0, -1)
    assert (late.late_shares, late.late_points, late.latest_ms, late.amount) == (2, 2, 30, None)
    assert (done.block, done.shares, done.points, done.best) == (BLOCK, 2, 2, 5)
    assert (done.late_shares, done.late_points, done.latest_ms) == (0, 0, 0)


async def test_results_come_newest_first_before_a_block(rows: ShareRows) -> None:
    # The even ones are known from late shares only.
    for block in (8, 6, 9, 7, 5):
        await rows.blocks(block, state="closed")
        await rows.insert("worker_blocks" if block % 2 else "late_shares", block=block)

    async def listed(before: int, limit: int) -> list[int]:
        return [one.block for one in await rows.store.results(1, before=before, limit=limit)]

    assert await listed(99, 9) == [9, 8, 7, 6, 5]
    assert await listed(9, 2) == [8, 7]
    assert await listed(8, 9) == [7, 6, 5]


# Levels, and what is forgotten -------------------------------------------------------------------


async def test_a_level_grows_only_and_is_one_workers(rows: ShareRows) -> None:
    for zeros in (5, 3, 4):
        await rows.insert("levels", zeros=zeros)
    await rows.insert("levels", zeros=6, worker=20)
    for zeros, shares, better in ((3, 1, 0), (4, 2, 0), (5, 3, 2)):
        await rows.each("add_level", (30, zeros, shares, better))
    assert await rows.many("levels_of_worker", 30) == [(3, 2, 1), (4, 2, 1), (5, 3, 2)]


@pytest.mark.parametrize(
    ("table", "kept"),
    [("shares", KEPT_BLOCKS), ("bests", 1), ("late_shares", KEPT_WORKER_BLOCKS)],
)
async def test_what_is_older_than_so_many_blocks_is_forgotten(
    rows: ShareRows, table: str, kept: int
) -> None:
    await rows.blocks(5, 6, BLOCK, state="closed")
    farmer = {"bests": {"farmer": 1}}.get(table, {})
    for block in (5, 6, BLOCK):
        await rows.insert(table, block=block, **farmer)
    await rows.store.close_blocks(6 + kept)
    assert await rows.table(table, "block") == [(6,), (BLOCK,)]


async def test_what_workers_did_is_forgotten_once_a_block_is_divided(rows: ShareRows) -> None:
    for block, state in enumerate(STATES, start=1):
        for number in (block, 10 + block):
            await rows.blocks(number, state=state)
            await rows.insert("worker_blocks", block=number)
    assert await rows.execute("forget_worker_blocks", 15) == 3
    kept = [1, 2, 3, 11, 12, 13, 15]
    assert await rows.table("worker_blocks", "block") == [(block,) for block in kept]
