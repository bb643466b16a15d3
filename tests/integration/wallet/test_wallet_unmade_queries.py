"""Payments that are recorded as made and were not: which of them a payer's number tells.

The targets here are small: 1000, 2000 ... An envelope with the number 1001 follows the target 1000.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pytest

from libs.common.ids import OperationId
from services.wallet.domain.errors import TamperedError
from services.wallet.domain.payment_orders import Part
from services.wallet.domain.payments import SPAN
from services.wallet.domain.withdrawals import Asset
from services.wallet.store.payers import PayerStore, UnmadePayment
from tests.support.orders import ORDERS
from tests.support.table_rows import new_ids
from tests.support.wallet_rows import WalletRow, WalletRows, ago


@dataclass(frozen=True, kw_only=True)
class Payer:
    """A payer with its envelopes, and a farmer who is paid by it."""

    rows: WalletRows
    account: WalletRow
    farmer: WalletRow
    treasury: WalletRow

    async def payments(self, amount: int) -> list[OperationId]:
        """Payments in the order of their ids, which their rows are not in."""
        names = reversed(new_ids(amount))
        return [
            await self.rows.payment(
                self.farmer, self.account, id=one, settled_at=ago(minutes=30), state="succeeded"
            )
            for one in names
        ][::-1]

    async def envelope(
        self,
        number: int,
        target: int | None,
        carries: Sequence[OperationId] = (),
        *,
        state: str = "excluded",
        name: UUID | None = None,
        created_at: datetime | None = None,
    ) -> None:
        """An envelope with a number and a target."""
        await self.rows.transaction(
            self.account.address,
            state,
            carries,
            id=name,
            sequence=number,
            bump_to=target,
            created_at=created_at or ago(),
        )

    async def unmade(self, number: int) -> list[UnmadePayment]:
        """What was not made when the payer stands at this number."""
        return await PayerStore(self.rows.pool, ORDERS).unmade(self.account.address, number)

    async def ids(self, number: int) -> list[tuple[int, OperationId]]:
        """The same, without what is to be paid."""
        return [(item.bump_to, item.operation_id) for item in await self.unmade(number)]


@pytest.fixture
async def payer(rows: WalletRows) -> Payer:
    """One payer."""
    return Payer(
        rows=rows,
        account=await rows.wallet("payer"),
        farmer=await rows.wallet(),
        treasury=await rows.wallet("treasury"),
    )


async def another(payer: Payer) -> WalletRow:
    """A payer beside, all of whose payments of target 1500 are recorded as made."""
    beside = await payer.rows.wallet("payer")
    theirs = await payer.rows.payment(payer.farmer, beside, state="succeeded")
    await payer.rows.transaction(beside.address, "succeeded", [theirs], sequence=1, bump_to=1500)
    return beside


# What is believed -----------------------------------------------------------------------------


async def test_what_succeeded_or_was_shown_counts_as_made_and_nothing_else_does(
    payer: Payer,
) -> None:
    beside = await another(payer)
    failed, shown, succeeded, later = await payer.payments(4)
    await payer.envelope(1, 4000, [later], state="succeeded")
    await payer.envelope(1, 3000, [succeeded], state="succeeded")
    await payer.envelope(1, 2000, [shown])
    await payer.envelope(1, 1000, [failed], state="failed")
    await payer.rows.shown(payer.account, 2000)
    await payer.rows.shown(beside, 1000)
    assert await payer.ids(0) == [(2000, shown)]
    assert await payer.ids(2000) == [(3000, succeeded)]
    assert await payer.ids(3000) == [(4000, later)]
    # It has passed them all, whatever it has come by.
    assert await payer.ids(4000) == []
    assert await payer.ids(4500) == []


async def test_what_nobody_showed_of_this_payer_is_not_believed(payer: Payer) -> None:
    (failed,) = await payer.payments(1)
    await payer.envelope(1, 1000, [failed], state="failed")
    await payer.rows.shown(await another(payer), 1000)
    await payer.rows.shown(payer.account, 2000)
    assert await payer.ids(0) == []


async def test_of_two_envelopes_with_one_target_the_older_is_made_good(payer: Payer) -> None:
    one, other = await payer.payments(2)
    first, second = new_ids(2)
    await payer.envelope(2, 1000, [one], name=second)
    await payer.envelope(1, 1000, [other, one], name=first)
    await payer.rows.shown(payer.account, 1000)
    # In the order in which they stand in the envelope.
    assert await payer.ids(0) == [(1000, other), (1000, one)]


# What another envelope may have made ----------------------------------------------------------


async def test_what_the_target_where_the_payer_stands_has_made_is_not_made_again(
    payer: Payer,
) -> None:
    both, alone = await payer.payments(2)
    await payer.envelope(1, 1000, [both], state="succeeded")
    await payer.envelope(1001, 2000, [both, alone], state="succeeded")
    assert await payer.ids(1000) == [(2000, alone)]
    # What followed that target must not become valid when it is made good.
    assert await payer.ids(999) == [(1002, both)]


async def test_every_target_that_envelopes_lead_from_may_have_been_reached(payer: Payer) -> None:
    first, second, strange = await payer.payments(3)
    await payer.envelope(1, 1000, [first])
    await payer.envelope(1001, 2000, [second])
    await payer.envelope(2001, 3000, [strange], state="failed")
    await payer.envelope(2002, 5000, [first, second, strange])
    await payer.rows.shown(payer.account, 5000)
    # It stands there as the envelope of number 2001 failed, which followed target 2000, whose
    # envelope followed target 1000.
    assert await payer.ids(2001) == [(5000, strange)]
    # Nothing has led from target 2000 to here.
    assert await payer.ids(2500) == [(5000, first), (5000, second), (5000, strange)]
    # It stands at target 1000 itself: nothing but that was made.
    assert await payer.ids(1000) == [(5000, second), (5000, strange)]


# The target -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signed_after", "target"),
    [
        ((), 1000),
        # As if it was signed before: it is valid before the target is reached, or never.
        ((999, 1000), 1000),
        # All of these must not become valid ...
        ((1005, 1009), 1010),
        ((1000 + SPAN - 2,), 1000 + SPAN - 1),
        # ... for which no number is left here.
        ((1000 + SPAN - 1,), 1000),
        ((5000,), 1000),
    ],
)
async def test_the_target_is_kept_or_lies_above_what_was_signed_after_it(
    payer: Payer, signed_after: Sequence[int], target: int
) -> None:
    (one,) = await payer.payments(1)
    await payer.envelope(1, 1000, [one], state="succeeded")
    for number in signed_after:
        await payer.envelope(number, number + 9000)
    # What bumps no number is not a payment's.
    await payer.envelope(1020, None)
    assert await payer.ids(0) == [(target, one)]


async def test_the_target_lies_above_the_number_that_the_next_envelope_uses(payer: Payer) -> None:
    (one,) = await payer.payments(1)
    await payer.envelope(1, 1000, [one], state="succeeded")
    assert await payer.ids(997) == [(1000, one)]
    assert await payer.ids(998) == [(1000, one)]
    assert await payer.ids(999) == [(1001, one)]


# Who pays what to whom ------------------------------------------------------------------------


async def test_what_is_to_be_paid_is_as_it_was_asked_for(payer: Payer) -> None:
    other = await payer.rows.wallet()
    kale = await payer.rows.payment(
        payer.farmer, payer.account, amount=5, destination="here", state="succeeded"
    )
    xlm = await payer.rows.payment(
        other, payer.account, amount=6, asset="xlm", destination="there", state="succeeded"
    )
    top_up = await payer.rows.payment(other, payer.account, "top_up", amount=7, state="succeeded")
    await payer.envelope(1, 1000, [top_up, xlm, kale], state="succeeded")

    def payment(
        name: OperationId, source: WalletRow | None, destination: str, asset: Asset, amount: int
    ) -> UnmadePayment:
        return UnmadePayment(
            operation_id=name,
            bump_to=1000,
            source_id=None if source is None else source.id,
            parts=(Part(destination=destination, asset=asset, amount=amount),),
            failures=0,
        )

    assert await payer.unmade(0) == [
        payment(top_up, None, other.address, Asset.XLM, 7),
        payment(xlm, other, "there", Asset.XLM, 6),
        payment(kale, payer.farmer, "here", Asset.KALE, 5),
    ]


#: With all rights: a table is a view, which tells one query another thing than the others.
LIES = """
ALTER TABLE wallet.{table} RENAME TO true_rows;
CREATE VIEW wallet.{table} AS SELECT {columns} FROM wallet.true_rows;
GRANT SELECT ON wallet.{table} TO kalepool_wallet;
"""
_TO_LOOK = "current_query() LIKE '%RECURSIVE%'"
_TO_JUDGE = "current_query() NOT LIKE '%RECURSIVE%'"


@pytest.mark.parametrize(
    ("table", "column", "lie"),
    [
        ("withdrawals", "destination", "'thief'"),
        ("withdrawals", "amount", "amount + 1"),
        ("withdrawals", "asset", "'xlm'"),
        ("operations", "amount", "amount + 1"),
        ("operations", "wallet_id", "(SELECT id FROM wallet.wallets WHERE kind = 'treasury')"),
        ("operations", "kind", "'top_up'::wallet.operation_kind"),
        ("transactions", "bump_to", "bump_to - 500"),
        ("transactions", "bump_to", "bump_to + 1000000"),
    ],
)
async def test_what_is_paid_is_what_was_judged_whatever_each_look_is_told(
    payer: Payer, table: str, column: str, lie: str
) -> None:
    connection = payer.rows.connection
    (made,) = await payer.payments(1)
    await payer.envelope(1, 1000, [made], state="succeeded")
    truth = await payer.unmade(0)
    names = await connection.fetch(
        "SELECT column_name AS name FROM information_schema.columns "
        "WHERE table_schema = 'wallet' AND table_name = $1 ORDER BY ordinal_position",
        table,
    )
    for when in (_TO_LOOK, _TO_JUDGE):
        told = f"CASE WHEN {when} THEN {lie} ELSE {column} END AS {column}"
        columns = ", ".join(told if row["name"] == column else row["name"] for row in names)
        await connection.execute(LIES.format(table=table, columns=columns))
        with suppress(TamperedError):
            assert await payer.unmade(0) in (truth, [])
        await connection.execute(
            f"DROP VIEW wallet.{table}; ALTER TABLE wallet.true_rows RENAME TO {table}"
        )
    assert await payer.unmade(0) == truth


async def test_failures_of_the_last_hour_count_since_it_was_settled(payer: Payer) -> None:
    lately, long_ago = ago(minutes=30), ago(hours=3)
    names = [
        await payer.rows.payment(payer.farmer, payer.account, state="succeeded", settled_at=moment)
        for moment in (lately, long_ago)
    ]
    await payer.envelope(1, 1000, names, state="succeeded")
    for number, moment in enumerate(
        (ago(hours=2), ago(minutes=45), lately, ago(minutes=20), ago(minutes=10)), 1
    ):
        await payer.envelope(number, 500, names, state="failed", created_at=moment)
    await payer.envelope(9, 500, names, created_at=ago(minutes=5))
    (other,) = await payer.payments(1)
    await payer.envelope(9, 500, [other], state="failed", created_at=ago(minutes=5))
    found = {item.operation_id: item.failures for item in await payer.unmade(0)}
    assert found == dict(zip(names, (2, 4), strict=True))
