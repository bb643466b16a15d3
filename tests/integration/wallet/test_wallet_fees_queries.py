"""The queries of sums of fees: which they take, in which order, and where sums end."""

import asyncio
from datetime import UTC, datetime

from libs.common.ids import PoolerId, new_id
from libs.common.spans import FIRST, Span
from libs.kale.constants import MAX_I64
from services.wallet.domain.fee_reports import FeeKind
from services.wallet.store.fees import Charged, FeeStore, add_fees
from tests.support.table_rows import new_ids
from tests.support.wallet_rows import WalletRows

#: Sums, in the order in which they are added to.
SUMS = "SELECT span, pooler_id, kind FROM wallet.fee_sums ORDER BY span, pooler_id, kind"


async def test_sums_are_added_to_by_span_and_pooler_and_kind(rows: WalletRows) -> None:
    """So that two transactions never wait crosswise."""
    charged = []
    for pooler in map(PoolerId, reversed(new_ids(3))):
        owner = await rows.wallet(pooler=pooler)
        for kind in ("work", "plant", "harvest"):
            operation = await rows.operation(owner, kind)
            charged.append(Charged(operation_id=operation, fee=5))

    async def add() -> None:
        async with rows.pool.transaction() as session:
            await add_fees(session, charged)

    await add()
    ordered = await rows.connection.fetch(SUMS)
    assert len(ordered) == 4 * len(charged)
    # Somebody else has the fifth sum of the second span.
    place = len(charged) + 4
    async with rows.other() as other:
        await other.connection.execute(
            "SELECT FROM wallet.fee_sums WHERE span = $1 AND pooler_id = $2 AND kind = $3 "
            "FOR UPDATE",
            *ordered[place],
        )
        late = asyncio.create_task(add())
        await rows.until_somebody_waits()
        free = await rows.connection.fetch(f"{SUMS} FOR UPDATE SKIP LOCKED")
        assert free == ordered[place + 1 :]
    await late


async def test_the_number_of_charges_ends_where_numbers_do(rows: WalletRows) -> None:
    row = {"span": "all", "starts_at": FIRST, "kind": "other", "stroops": 1, "charges": MAX_I64}
    await rows.insert("wallet.fee_sums", **row)
    async with rows.pool.transaction() as session:
        await add_fees(session, [Charged(operation_id=None, fee=5)])
    for _ in range(2):
        await rows.insert("wallet.fee_sums", **row, pooler_id=new_id())
    sums = await rows.connection.fetch(
        "SELECT stroops, charges FROM wallet.fee_sums WHERE span = 'all' AND pooler_id IS NULL"
    )
    assert [tuple(found) for found in sums] == [(6, MAX_I64)]
    asked = ("all", [FIRST], None)
    (told,) = await rows.pool.many("fees_of_spans", *asked)
    assert tuple(told) == (FIRST, "other", 8, MAX_I64)


async def test_spans_of_other_lengths_that_begin_at_the_same_moment_are_others(
    rows: WalletRows,
) -> None:
    pooler, midnight = PoolerId(new_id()), datetime(2026, 3, 1, tzinfo=UTC)
    for span, amount in (("hour", 1), ("day", 2), ("month", 4)):
        common = {"span": span, "starts_at": midnight, "pooler_id": pooler}
        await rows.insert("wallet.fee_sums", **common, kind="plant", stroops=amount, charges=amount)
        await rows.insert(
            "harvest.pooler_earnings", **common, rewards=amount, harvests=1, stake_returned=0
        )
    for length, amount in ((Span.HOUR, 1), (Span.DAY, 2), (Span.MONTH, 4)):
        (fees,) = await FeeStore(rows.pool).fees(pooler, length, [midnight])
        assert fees.rewards == amount
        assert [(fee.kind, fee.stroops, fee.charges) for fee in fees.kinds] == [
            (FeeKind.PLANT, amount, amount)
        ]
