"""The queries that turn operations back, whose ledger turned out not to be there."""

from datetime import UTC, datetime
from uuid import UUID

from tests.support.table_rows import drop_indexes, new_ids
from tests.support.wallet_rows import WalletRows

#: The ledger of the head; what is said to have ended above it did not end there.
HEAD = 100
NEW = bytes([1]) * 34


async def ended(rows: WalletRows, ledger: int, name: UUID) -> UUID:
    """An operation that is said to have ended in a ledger."""
    return await rows.operation(await rows.wallet(), "plant", "succeeded", id=name, ledger=ledger)


async def turned(rows: WalletRows, after: UUID | None = None, limit: int = 9) -> list[UUID]:
    found = await rows.pool.many("turned_operations", HEAD, after, limit)
    return [row["operation_id"] for row in found]


async def test_what_ended_above_the_head_comes_page_by_page_in_the_order_of_ids(
    rows: WalletRows,
) -> None:
    ids = new_ids(5)
    for number in (4, 2, 3, 1):
        await ended(rows, HEAD + 5 - number, ids[number])
    await ended(rows, HEAD, ids[0])
    await rows.operation(await rows.wallet())
    await drop_indexes(rows.connection, "wallet.operations")
    assert await turned(rows) == ids[1:]
    assert await turned(rows, limit=2) == ids[1:3]
    assert await turned(rows, after=ids[2]) == ids[3:]


async def test_nobody_else_ends_what_is_turned_back_meanwhile(rows: WalletRows) -> None:
    name, beside = new_ids(2)
    await ended(rows, HEAD + 1, name)
    await ended(rows, HEAD, beside)
    async with rows.pool.transaction() as session:
        await session.many("turned_operations", HEAD, None, 9)
        assert not await rows.is_free("wallet.operations", name)
        assert await rows.is_free("wallet.operations", beside)


async def test_only_these_operations_above_the_head_are_turned_back_to_it(
    rows: WalletRows,
) -> None:
    await rows.insert(
        "chain.head",
        ledger=HEAD,
        close_time=datetime.now(UTC),
        current_block=1,
        plantable_block=1,
        paused=False,
        block_seconds=300,
    )
    mine, sound, beside = new_ids(3)
    for name, ledger in ((mine, HEAD + 1), (sound, HEAD), (beside, HEAD + 1)):
        await ended(rows, ledger, name)
    macs = await rows.operations("end_mac")
    changed = await rows.pool.execute("turn_operations", HEAD, [mine, sound], [NEW, NEW])
    assert changed == 1
    assert await rows.operations("ledger") == {mine: HEAD, sound: HEAD, beside: HEAD + 1}
    assert await rows.operations("end_mac") == macs | {mine: NEW}
