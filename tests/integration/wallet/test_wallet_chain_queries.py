"""The queries of heads and blocks: what is kept, what is passed over, and what is turned back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncpg import RaiseError

from libs.common.db.pool import Database
from services.wallet.domain.model import Block, ChainHead
from services.wallet.store.blocks import BlockStore
from services.wallet.store.turning import TurningStore
from tests.support.orders import ORDERS
from tests.support.table_rows import mixed
from tests.support.wallet_rows import WalletRows, ago

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = ChainHead(
    ledger=100,
    close_time=MOMENT,
    current_block=5,
    plantable_block=6,
    paused=False,
    block_seconds=300,
)
BLOCK = Block(
    index=5,
    opened_ledger=40,
    opened_at=MOMENT,
    closes_at=MOMENT + timedelta(seconds=300),
    entropy=bytes(32),
    min_gap=1,
    max_gap=2,
    min_stake=3,
    max_stake=4,
    min_zeros=5,
    max_zeros=6,
    staked_total=7,
    normalized_total=8,
    expires_ledger=1000,
)


# Heads -----------------------------------------------------------------------------------------


async def test_a_head_is_kept_unless_a_newer_one_is(rows: WalletRows) -> None:
    store = BlockStore(rows.pool, ORDERS)
    assert await store.head() is None
    for head in (HEAD, replace(HEAD, paused=True), replace(HEAD, ledger=101)):
        assert await store.save_head(head)
        assert await store.head() == head
    assert not await store.save_head(HEAD)
    assert await store.head() == replace(HEAD, ledger=101)


# Blocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("updated", "expires", "is_news"),
    [(50, 1000, False), (49, 1000, False), (51, 1000, True), (50, 1001, True), (49, 1001, True)],
)
async def test_a_block_is_kept_as_of_its_newest_sight(
    rows: WalletRows, updated: int, expires: int, is_news: bool
) -> None:
    store = BlockStore(rows.pool, ORDERS)
    await store.save_block(BLOCK, updated_ledger=50)
    other = replace(BLOCK, opened_ledger=44, min_gap=9, expires_ledger=expires)
    # Whoever looks later is told the first sight, whether what it saw is kept or not.
    assert await store.save_block(other, updated_ledger=updated) == 40
    assert await store.block(5) == (replace(other, opened_ledger=40) if is_news else BLOCK)


@pytest.mark.parametrize(("updated", "opened"), [(0, 40), (-1, 44)])
async def test_a_block_was_opened_at_its_first_sight_unless_that_was_a_lie(
    rows: WalletRows, updated: int, opened: int
) -> None:
    store = BlockStore(rows.pool, ORDERS)
    assert await store.save_block(BLOCK, updated_ledger=updated) == 40
    assert await store.save_block(replace(BLOCK, opened_ledger=44), updated_ledger=50) == opened
    assert await store.block(5) == replace(BLOCK, opened_ledger=opened)


@pytest.mark.parametrize(
    ("first", "updated", "then", "told"),
    [(200, 0, 300, 200), (300, 0, 200, 200), (200, -1, 300, 300)],
)
async def test_a_block_closes_at_the_earliest_moment_told_unless_that_was_a_lie(
    rows: WalletRows, first: int, updated: int, then: int, told: int
) -> None:
    """Once it is over, its opening alone can be read: block 0 would seem to have closed later."""
    store = BlockStore(rows.pool, ORDERS)
    at = {
        seconds: replace(BLOCK, closes_at=MOMENT + timedelta(seconds=seconds))
        for seconds in (first, then)
    }
    await store.save_block(at[first], updated_ledger=updated)
    await store.save_block(at[then], updated_ledger=50)
    assert await store.block(5) == at[told]


async def save_blocks(pool: Database, indexes: list[int], **updated: int) -> None:
    """Blocks, each with its index in its entropy; `b9=-1` is the ledger that block 9 is seen at."""
    for index in indexes:
        await BlockStore(pool, ORDERS).save_block(
            replace(BLOCK, index=index, entropy=bytes([index] * 32)),
            updated_ledger=updated.get(f"b{index}", 50),
        )


async def test_a_block_is_found_by_its_index(rows: WalletRows) -> None:
    await save_blocks(rows.pool, [4, 5])
    found = [await BlockStore(rows.pool, ORDERS).block(index) for index in (4, 5, 6)]
    assert [block and block.index for block in found] == [4, 5, None]


async def test_blocks_between_two_are_in_order(rows: WalletRows) -> None:
    await save_blocks(rows.pool, mixed([3, 4, 5, 6, 7]))
    assert [block.index for block in await BlockStore(rows.pool, ORDERS).between(3, 7)] == [4, 5, 6]


async def test_the_newest_block_is_one_that_was_seen(rows: WalletRows) -> None:
    store = BlockStore(rows.pool, ORDERS)
    assert await store.newest_index() is None
    await save_blocks(rows.pool, [5, 8, 7], b8=-1, b7=0)
    assert await store.newest_index() == 7


# The past --------------------------------------------------------------------------------------


async def test_the_past_has_the_newest_blocks_that_were_seen(rows: WalletRows) -> None:
    await save_blocks(rows.pool, mixed(list(range(1, 13))), b9=-1, b10=0)
    past = await TurningStore(rows.pool, ORDERS).past(ledger=100, block=10)
    expected = [10, 8, 7, 6, 5, 4, 3, 2]
    assert list(past.blocks.items()) == [(index, bytes([index] * 32)) for index in expected]


async def test_the_past_has_our_newest_transactions(rows: WalletRows) -> None:
    store = TurningStore(rows.pool, ORDERS)
    await rows.transaction()
    past = await store.past(ledger=100, block=5)
    assert (past.transactions, past.first_ledger) == ({}, None)
    for ledger in mixed(list(range(91, 102))):
        await rows.transaction(state="failed", ledger=ledger, lookup_hash=f"at {ledger}")
    past = await store.past(ledger=100, block=5)
    expected = range(100, 92, -1)
    assert list(past.transactions.items()) == [(f"at {ledger}", ledger) for ledger in expected]
    assert past.first_ledger == 91


# Turning back ----------------------------------------------------------------------------------


async def keep(rows: WalletRows, *, ledger: int = 5000, seen: datetime | None = None) -> None:
    """A head as kept: a lie that nobody has seen for an hour, unless told otherwise."""
    await rows.insert(
        "chain.head",
        ledger=ledger,
        close_time=MOMENT,
        current_block=1,
        plantable_block=1,
        paused=True,
        block_seconds=1,
        updated_at=seen or ago(3600),
    )


def present() -> ChainHead:
    """What nodes show now."""
    return replace(HEAD, close_time=datetime.now(UTC))


async def test_a_head_that_nobody_sees_any_more_is_turned_back(rows: WalletRows) -> None:
    await keep(rows)
    head = present()
    assert await TurningStore(rows.pool, ORDERS).turn_back(head, unseen_for=60)
    assert await BlockStore(rows.pool, ORDERS).head() == head


@pytest.mark.parametrize(
    ("ledger", "seen", "behind", "is_newest"),
    [
        (5000, 3600, 110, True),
        (5000, 3600, 130, False),  # these nodes lag
        (5000, 50, 0, False),  # somebody has just seen it
        (5000, 70, 0, True),
        (100, 3600, 0, True),  # nothing is to be turned
        (101, 3600, 130, False),
    ],
)
async def test_a_head_is_turned_only_back_and_by_nodes_that_are_up_to_date(
    rows: WalletRows, *, ledger: int, seen: float, behind: float, is_newest: bool
) -> None:
    await keep(rows, ledger=ledger, seen=ago(seen))
    head = replace(HEAD, close_time=ago(behind))
    assert await TurningStore(rows.pool, ORDERS).turn_back(head, unseen_for=60) is is_newest
    kept = await BlockStore(rows.pool, ORDERS).head()
    assert kept is not None
    is_turned = is_newest and ledger > HEAD.ledger
    assert (kept.ledger, kept.paused) == ((100, False) if is_turned else (ledger, True))


@pytest.mark.parametrize(
    ("seen", "behind"), [(timedelta(seconds=60), timedelta()), (timedelta(1), timedelta(minutes=2))]
)
async def test_a_head_is_not_turned_back_at_the_limits(
    rows: WalletRows, seen: timedelta, behind: timedelta
) -> None:
    await keep(rows)
    async with rows.pool.transaction() as session:
        now = await session.connection.fetchval("SELECT now()")
        await session.connection.execute("UPDATE chain.head SET updated_at = $1", now - seen)
        head = (100, now - behind, 5, 6, False, 300, 60.0)
        assert await session.execute("turn_head", *head) == 0


async def test_blocks_of_a_ledger_or_index_that_is_not_there_are_unseen(rows: WalletRows) -> None:
    await keep(rows)
    await save_blocks(rows.pool, [4, 5, 6, 7], b5=101, b6=100)
    assert await TurningStore(rows.pool, ORDERS).turn_back(present(), unseen_for=60)
    marks = "(updated_ledger, expires_ledger)::text"
    assert await rows.values("chain.blocks", marks, key="index") == {
        4: "(50,1000)",
        5: "(-1,-1)",
        6: "(100,1000)",
        7: "(-1,-1)",
    }


@pytest.mark.parametrize(
    ("signed", "resend", "expected"),
    [
        (100, 104, (100, 104)),
        (101, 102, (70, 100)),
        (5000, 90, (70, 90)),
        (60, 105, (60, 100)),
        (5, 5000, (5, 100)),
    ],
)
async def test_transactions_in_flight_are_signed_and_sent_again_at_ledgers_that_are_there(
    rows: WalletRows, signed: int, resend: int, expected: tuple[int, int]
) -> None:
    numbers: dict[str, Any] = {"signed_ledger": signed, "resend_ledger": resend}
    open_ones = [await rows.transaction(state=state, **numbers) for state in ("signed", "sent")]
    closed = await rows.transaction(state="excluded", **numbers)
    assert await turned(rows, open_ones, ledger=100) == [expected] * 2
    assert (await rows.transactions("resend_ledger"))[closed] == resend


async def test_nothing_was_signed_before_the_first_ledger(rows: WalletRows) -> None:
    transaction_id = await rows.transaction(signed_ledger=5000, resend_ledger=0)
    assert await turned(rows, [transaction_id], ledger=29) == [(0, 0)]


async def turned(rows: WalletRows, ids: Sequence[object], *, ledger: int) -> list[tuple[int, int]]:
    """The ledgers of transactions of five seconds ago, once they are turned back."""
    await rows.connection.execute(
        "UPDATE wallet.transactions SET created_at = now() - interval '5 seconds' "
        "WHERE id = ANY($1)",
        ids,
    )
    await rows.pool.execute("turn_transactions", ledger)
    found = await rows.connection.fetch(
        "SELECT signed_ledger, resend_ledger FROM wallet.transactions WHERE id = ANY($1)", ids
    )
    return [tuple(row) for row in found]


async def test_what_was_read_at_a_ledger_that_is_not_there_is_of_this_one(rows: WalletRows) -> None:
    await keep(rows)
    owners = [await rows.wallet(ledger=ledger) for ledger in (99, 100, 101)]
    waiting = [
        await rows.operation(owner, ledger=ledger)
        for owner, ledger in zip(owners, (99, 100, 101), strict=True)
    ]
    for owner, ledger in zip(owners, (99, 100, 101), strict=True):
        await rows.insert(
            "wallet.reconciled_balances", wallet_id=owner.id, ledger=ledger, kale_stroops=1
        )
    assert await TurningStore(rows.pool, ORDERS).turn_back(present(), unseen_for=60)
    by_wallet = {owner.id: min(99 + place, 100) for place, owner in enumerate(owners)}
    for table in ("accounts", "reconciled_balances"):
        assert await rows.values(f"wallet.{table}", "ledger", key="wallet_id") == by_wallet
    by_operation = dict(zip(waiting, (99, 100, 100), strict=True))
    assert await rows.operations("ledger") == by_operation


async def test_what_was_settled_at_a_ledger_that_is_not_there_is_of_this_one(
    rows: WalletRows,
) -> None:
    """Nothing that is settled changes otherwise: it must not keep the head where the lie was."""
    await keep(rows)
    owner, ledgers = await rows.wallet(), {"succeeded": 5000, "failed": 101, "expired": 100}
    settled = {
        await rows.operation(owner, "plant", state, block=block, ledger=ledger): min(ledger, 100)
        for block, (state, ledger) in enumerate(ledgers.items())
    }
    closed = {
        await rows.transaction(state="succeeded", ledger=5000): 100,
        await rows.transaction(state="failed", ledger=99): 99,
    }
    assert await TurningStore(rows.pool, ORDERS).turn_back(present(), unseen_for=60)
    assert await rows.operations("ledger") == settled
    assert await rows.transactions("ledger") == closed


@pytest.mark.parametrize(
    "changes", ["ledger = 99", "ledger = 100, fee_charged = 7", "ledger = 101"]
)
@pytest.mark.parametrize("table", ["operations", "transactions"])
async def test_a_ledger_changes_to_that_of_the_head_and_nothing_changes_beside(
    rows: WalletRows, table: str, changes: str
) -> None:
    await keep(rows, ledger=100)
    await rows.operation(await rows.wallet(), state="succeeded", ledger=5000)
    await rows.transaction(state="succeeded", ledger=5000)
    with pytest.raises(RaiseError, match="never changes"):
        await rows.connection.execute(f"UPDATE wallet.{table} SET {changes}")  # noqa: S608  (ours)


@pytest.mark.parametrize("table", ["operations", "transactions"])
async def test_a_ledger_below_the_head_is_not_raised_to_it(rows: WalletRows, table: str) -> None:
    await keep(rows, ledger=100)
    await rows.operation(await rows.wallet(), state="succeeded", ledger=50)
    await rows.transaction(state="succeeded", ledger=50)
    with pytest.raises(RaiseError, match="never changes"):
        await rows.connection.execute(f"UPDATE wallet.{table} SET ledger = 100")  # noqa: S608


async def test_only_rows_of_ledgers_that_are_not_there_are_written(rows: WalletRows) -> None:
    owner = await rows.wallet(ledger=100)
    await rows.operation(owner, ledger=100)
    await rows.transaction(state="succeeded", ledger=100)
    await rows.insert("wallet.reconciled_balances", wallet_id=owner.id, ledger=100, kale_stroops=1)
    for name in ("taken", "accounts", "balances"):
        assert await rows.pool.execute(f"turn_{name}", 100) == 0
    assert await rows.pool.many("turned_operations", 100, None, 9) == []
