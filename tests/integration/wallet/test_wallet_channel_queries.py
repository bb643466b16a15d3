"""The queries of channel accounts: who is leased, counted and topped up, clause by clause."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.pool import Database
from libs.common.ids import OperationId, WalletId
from services.wallet.domain.audit import Act, Action
from services.wallet.store.channels import ChannelStore, ChannelTotals, Lease
from services.wallet.store.custody import CustodyStore
from tests.integration.wallet.test_wallet_channels import XLM, keys
from tests.support.orders import ORDERS
from tests.support.table_rows import mixed, new_ids
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows, ago

RICH = 5 * XLM
POOR = XLM


async def channel(
    rows: WalletRows, xlm: int = RICH, *, ledger: int = LEDGER, **values: Any
) -> WalletRow:
    """A channel on the chain, as read at a ledger."""
    return await rows.wallet("channel", xlm_stroops=xlm, ledger=ledger, **values)


async def others(rows: WalletRows, xlm: int) -> None:
    """An account of each other kind."""
    for kind in ("farmer", "treasury", "payer"):
        await rows.wallet(kind, xlm_stroops=xlm, ledger=LEDGER)


# Made ------------------------------------------------------------------------------------------


async def test_only_accounts_of_the_kind_count_when_some_are_made(rows: WalletRows) -> None:
    await others(rows, RICH)
    await channel(rows)
    made = await keys(3)
    assert await ChannelStore(rows.pool, ORDERS).insert(made, most=3) == 2
    assert await rows.operations("block_index") == {name: 0 for _, name in made[:2]}


async def test_all_processes_that_make_accounts_wait_for_one_lock(rows: WalletRows) -> None:
    async with rows.other() as other:
        # The name stays: processes of two versions may run side by side.
        await other.insert("wallet.turns", name="pool accounts")
        making = asyncio.create_task(ChannelStore(rows.pool, ORDERS).insert(await keys(1), most=1))
        await rows.until_somebody_waits()
    assert await making == 1


# Leased ----------------------------------------------------------------------------------------


async def test_leased_are_channels_that_are_there_and_free_and_can_pay(rows: WalletRows) -> None:
    await others(rows, RICH)
    await channel(rows, status="pending")
    await channel(rows, leased_until=ago(-60))
    await channel(rows, 15_000_000)
    for state in ("signed", "sent"):
        await rows.transaction((await channel(rows)).address, state)
    free = [await channel(rows), await channel(rows, 15_000_001), await channel(rows)]
    await rows.transaction(free[-1].address, "excluded")
    forged = await channel(rows)
    await rows.connection.execute("UPDATE wallet.wallets SET mac = NULL WHERE id = $1", forged.id)
    leases = await ChannelStore(rows.pool, ORDERS).lease(99, seconds=60)
    assert {(lease.wallet_id, lease.address) for lease in leases} == {
        (one.id, one.address) for one in free
    }
    assert all(lease.until > datetime.now(UTC) for lease in leases)
    assert await ChannelStore(rows.pool, ORDERS).lease(99, seconds=60) == []


async def test_the_first_channels_are_leased_first_and_no_more_than_asked_for(
    rows: WalletRows,
) -> None:
    names = new_ids(3)
    for name in mixed(names):
        await channel(rows, id=name)
    assert [
        lease.wallet_id for lease in await ChannelStore(rows.pool, ORDERS).lease(1, seconds=60)
    ] == names[:1]


async def test_a_channel_that_another_process_is_taking_is_passed_over(rows: WalletRows) -> None:
    one, two = [await channel(rows) for _ in range(2)]
    async with rows.held("wallet.wallets", one.id):
        leases = await ChannelStore(rows.pool, ORDERS).lease(9, seconds=60)
    assert [lease.wallet_id for lease in leases] == [two.id]


async def test_a_lease_is_ended_by_its_wallet_and_its_end(rows: WalletRows) -> None:
    store = ChannelStore(rows.pool, ORDERS)
    for _ in range(3):
        await channel(rows)
    first, second, third = await store.lease(3, seconds=60)
    assert first.until == second.until
    late = Lease(wallet_id=third.wallet_id, address=third.address, until=ago(60))
    await store.give_back([first, late])
    assert await rows.values("wallet.wallets", "leased_until = '-infinity'") == {
        first.wallet_id: True,
        second.wallet_id: False,
        third.wallet_id: False,
    }


# Counted ---------------------------------------------------------------------------------------


async def test_channels_are_counted_by_what_they_are_and_do(rows: WalletRows) -> None:
    await others(rows, POOR)
    used = await channel(rows, 3 * XLM)
    busy = await channel(rows, POOR), await channel(rows, 2 * XLM)
    await channel(rows, POOR)
    await channel(rows, 5, status="pending")
    await rows.transaction(used.address, "failed")
    for one, state in zip(busy, ("signed", "sent"), strict=True):
        await rows.transaction(one.address, state)
    assert await ChannelStore(rows.pool, ORDERS).totals(low=2 * XLM) == ChannelTotals(
        made=5, ready=4, busy=2, low=2, xlm=7 * XLM + 5
    )


async def test_no_channels_have_nothing(rows: WalletRows) -> None:
    assert await ChannelStore(rows.pool, ORDERS).totals(low=XLM) == ChannelTotals(
        made=0, ready=0, busy=0, low=0, xlm=0
    )


# Topped up -------------------------------------------------------------------------------------


async def top_up(pool: Database, names: list[UUID], *, budget: int = 100 * XLM) -> int:
    """Top-ups of 3 XLM for channels with less than 2 XLM."""
    store = ChannelStore(pool, ORDERS)
    poor = await store.poor(below=2 * XLM, limit=len(names))
    wanted = {wallet_id: OperationId(name) for wallet_id, name in zip(poor, names, strict=False)}
    top_ups = await store.queue_top_ups(wanted, amount=3 * XLM, ledger=LEDGER, budget=budget)
    assert top_ups.queued + top_ups.refused == len(wanted)
    return top_ups.queued


async def topped_up(rows: WalletRows, names: list[UUID]) -> list[object]:
    """The wallets that these top-ups are for."""
    found = await rows.operations("wallet_id")
    return [found[name] for name in names if name in found]


async def earlier(
    rows: WalletRows, owner: WalletRow, state: str, ledger: int | None = None
) -> None:
    """A top-up of some time ago."""
    if state in {"signed", "sent"}:
        carrier = await rows.transaction(state=state)
        await rows.operation(owner, "top_up", state, block=7, transaction_id=carrier)
    else:
        await rows.operation(owner, "top_up", state, block=7, ledger=ledger)


async def test_topped_up_are_channels_that_are_there_and_poor(rows: WalletRows) -> None:
    await others(rows, POOR)
    await channel(rows, POOR, status="pending")
    await channel(rows, 2 * XLM)
    await channel(rows)
    poor = await channel(rows, 2 * XLM - 1)
    names = new_ids(9)
    assert await top_up(rows.pool, names) == 1
    assert await topped_up(rows, names) == [poor.id]
    row = await rows.connection.fetchrow(
        "SELECT kind::text, state::text, block_index, amount FROM wallet.operations"
    )
    assert row is not None
    assert tuple(row) == ("top_up", "queued", LEDGER, 3 * XLM)


async def test_the_poorest_channels_are_topped_up_as_far_as_there_are_names(
    rows: WalletRows,
) -> None:
    by_wealth = {xlm: await channel(rows, xlm) for xlm in mixed([1, 2, 3])}
    names = new_ids(2)
    assert await top_up(rows.pool, names) == 2
    assert await topped_up(rows, names) == [by_wealth[1].id, by_wealth[2].id]


async def test_of_channels_as_poor_as_one_another_the_first_is_topped_up(rows: WalletRows) -> None:
    wallets = new_ids(3)
    for wallet_id in mixed(wallets):
        await channel(rows, POOR, id=wallet_id)
    names = new_ids(1)
    assert await top_up(rows.pool, names) == 1
    assert await topped_up(rows, names) == wallets[:1]


#: An earlier top-up, and whether a channel needs no other one for it.
EARLIER_TOP_UPS = pytest.mark.parametrize(
    ("state", "ledger", "is_enough"),
    [
        ("queued", None, True),
        ("signed", None, True),
        ("sent", None, True),
        ("succeeded", LEDGER, True),
        ("succeeded", LEDGER - 1, False),
        ("failed", LEDGER, False),
    ],
)


@EARLIER_TOP_UPS
async def test_a_top_up_that_is_not_in_the_balance_yet_is_enough(
    rows: WalletRows, *, state: str, ledger: int | None, is_enough: bool
) -> None:
    had_one, other = [await channel(rows, POOR) for _ in range(2)]
    await earlier(rows, had_one, state, ledger)
    await rows.operation(other, "open_channel", "succeeded", block=0, ledger=LEDGER)
    names = new_ids(9)
    expected = [other.id] if is_enough else [had_one.id, other.id]
    assert await top_up(rows.pool, names) == len(expected)
    assert await topped_up(rows, names) == expected


async def test_a_top_up_is_named_by_its_ledger_once(rows: WalletRows) -> None:
    had_one = await channel(rows, POOR)
    await rows.operation(had_one, "top_up", "succeeded", block=LEDGER, ledger=LEDGER - 1)
    store = ChannelStore(rows.pool, ORDERS)
    wanted = {WalletId(had_one.id): OperationId(new_ids(1)[0])}
    top_ups = await store.queue_top_ups(wanted, amount=XLM, ledger=LEDGER, budget=XLM)
    assert (top_ups.queued, top_ups.refused) == (0, 0)
    assert await store.topped_up() == 0


@EARLIER_TOP_UPS
async def test_a_channel_that_has_got_a_top_up_since_it_was_looked_at_gets_no_other(
    rows: WalletRows, *, state: str, ledger: int | None, is_enough: bool
) -> None:
    store, one = ChannelStore(rows.pool, ORDERS), await channel(rows, POOR)
    await earlier(rows, one, state, ledger)
    wanted = {WalletId(one.id): OperationId(new_ids(1)[0])}
    top_ups = await store.queue_top_ups(wanted, amount=XLM, ledger=LEDGER, budget=XLM)
    assert (top_ups.queued, top_ups.refused) == (0 if is_enough else 1, 0)


async def test_top_ups_of_a_day_come_to_no_more_than_the_budget(rows: WalletRows) -> None:
    for _ in range(4):
        await channel(rows, POOR)
    store = ChannelStore(rows.pool, ORDERS)
    assert await top_up(rows.pool, new_ids(9), budget=7 * XLM) == 2
    assert await store.topped_up() == 6 * XLM
    assert await top_up(rows.pool, new_ids(9), budget=9 * XLM - 1) == 0
    assert await top_up(rows.pool, new_ids(9), budget=9 * XLM) == 1


async def test_whoever_changes_top_ups_takes_nothing_from_what_counts(rows: WalletRows) -> None:
    await channel(rows, POOR)
    assert await top_up(rows.pool, new_ids(1), budget=3 * XLM) == 1
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute(
        "UPDATE wallet.operations SET state = 'failed', reason = 'REFUSED',"
        " settled_at = '2021-01-01Z', created_at = '2021-01-01Z', amount = 0"
        " WHERE kind = 'top_up'"
    )
    await rows.connection.execute("RESET session_replication_role")
    assert await top_up(rows.pool, new_ids(1), budget=6 * XLM - 1) == 0


async def test_records_of_no_amount_leave_the_budget_readable(rows: WalletRows) -> None:
    acts = [
        Act(actor="thief", action=Action.TOP_UP, subject="wallet x", details=details)
        for details in ("", "-5 stroops of XLM, x", f"{10**40} stroops of XLM, x", "7 stroops")
    ]
    for act in acts:
        await CustodyStore(rows.pool, ORDERS).record(act)
    assert await ChannelStore(rows.pool, ORDERS).topped_up() == 0


async def test_a_channel_that_wallet_did_not_write_is_not_topped_up(rows: WalletRows) -> None:
    foreign = await channel(rows, POOR)
    await rows.connection.execute("UPDATE wallet.wallets SET mac = NULL WHERE id = $1", foreign.id)
    honest = await channel(rows, POOR)
    poor = await ChannelStore(rows.pool, ORDERS).poor(below=2 * XLM, limit=9)
    assert poor == {honest.id: honest.address}


async def test_top_ups_of_one_time_belong_to_the_payer_that_is_next(rows: WalletRows) -> None:
    payers = [await rows.wallet("payer") for _ in range(3)]
    for _ in range(2):
        await channel(rows, POOR)
    names = new_ids(2)
    assert await top_up(rows.pool, names) == 2
    assert await rows.values("wallet.payments", "payer_id", key="operation_id") == dict.fromkeys(
        names, payers[0].id
    )
