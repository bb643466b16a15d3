"""The queries of withdrawals and payout addresses over real tables, clause by clause."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.common.db.pool import Record
from libs.common.ids import OperationId, new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.errors import (
    PayoutAddressLimitError,
    PayoutAddressTamperedError,
    WithdrawalLimitError,
)
from services.wallet.domain.model import OperationKind
from services.wallet.domain.orders import Name
from services.wallet.domain.withdrawals import (
    Asset,
    CountLimits,
    DailyLimit,
    NewWithdrawal,
    Withdrawal,
)
from services.wallet.store.custody import CustodyStore
from services.wallet.store.order_rows import PASTS, OrderRowStore, Walk
from services.wallet.store.payers import since
from services.wallet.store.transactions import TransactionStore
from services.wallet.store.withdrawals import DOUBTED, WithdrawalStore
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.table_rows import new_ids
from tests.support.wallet_rows import WalletRow, WalletRows, ago

NOW = ago()
LIMIT = DailyLimit(farmer=10**12, pool=10**12)
#: How somebody ends a withdrawal that is in flight, at a moment of his own.
ENDED = """
UPDATE wallet.operations
SET state = $2::wallet.operation_state, reason = $3, settled_at = {moment}, ledger = 1
WHERE id = $1
"""
#: A withdrawal that left exactly a day before the transaction began.
A_DAY_AGO = """
WITH made AS (
    INSERT INTO wallet.operations (id, kind, wallet_id, block_index, state, settled_at)
    VALUES ($1, 'withdraw', $2, 1000, 'succeeded', now() - interval '24 hours') RETURNING id
)
INSERT INTO wallet.withdrawals (
    operation_id, wallet_id, request_id, asset, amount, destination, requested_at
)
SELECT id, $2, 'a day ago', 'kale', 1000, 'outside', now() - interval '24 hours' FROM made
"""


def wish(
    account: WalletRow, request_id: str = "one", *, amount: int = 5, asset: Asset = Asset.KALE
) -> NewWithdrawal:
    """What a farmer asks for."""
    return NewWithdrawal(
        id=OperationId(new_id()),
        request_id=request_id,
        wallet_id=account.id,
        asset=asset,
        amount=amount,
        actor="me",
    )


# Addresses ------------------------------------------------------------------------------------


async def address(
    rows: WalletRows, account: WalletRow, number: int, *, registered: float, effective: float
) -> None:
    """An address that is named after its number, with its record in the log; days ago."""
    # Some were written in no order, and before the clock was set back.
    await rows.connection.execute("SET session_replication_role = replica")
    order: dict[str, Any] = {
        "wallet_id": account.id,
        "number": number,
        "address": f"number-{number}",
        "registered_at": NOW - timedelta(days=registered),
        "effective_at": NOW - timedelta(days=effective),
    }
    mac = ORDERS.for_payout_address(**order)
    await rows.insert("wallet.payout_addresses", **order, mac=mac)
    await rows.connection.execute("RESET session_replication_role")
    await recorded(rows, account, f"number-{number} at once")


async def recorded(
    rows: WalletRows, account: WalletRow, details: str, *, action: Action | None = None
) -> None:
    """A record of the log about an address."""
    act = Act(
        actor="me",
        action=action or Action.SET_PAYOUT_ADDRESS,
        subject=f"wallet {account.id}",
        details=details,
    )
    await CustodyStore(rows.pool, ORDERS).record(act)


async def test_the_log_names_a_wallets_newest_address(rows: WalletRows) -> None:
    account, beside = await rows.wallet(), await rows.wallet()
    assert await rows.pool.one("recorded_payout_address", account.id) is None
    for details, expected in (
        ("G1 at once", "G1"),
        ("G2 from 2026-11-29T12:00:00+00:00 on", "G2"),
        ("none from 2026-11-29T12:00:00+00:00 on", ""),
        ("G1 from 2026-11-29T12:00:00+00:00 on", "G1"),
    ):
        await recorded(rows, account, details)
        await recorded(rows, beside, "G3 at once")
        await recorded(rows, account, "G4 at once", action=Action.WITHDRAW)
        row = await rows.pool.one("recorded_payout_address", account.id)
        assert row is not None
        assert row["address"] == expected


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        # The newest of those that count, whether or not another one is to come.
        ([(9, 9), (8, 7)], [(2, True)]),
        ([(9, 9), (8, 8), (1, -1)], [(2, True), (3, False)]),
        ([(9, 9), (1, -1)], [(1, True), (2, False)]),
        ([(1, -1)], [(1, False)]),
        # One that was replaced while it cooled never counts, later than that or not at all.
        ([(3, 1), (2, -1)], [(2, False)]),
        ([(3, 2), (2, -1)], [(1, True), (2, False)]),
        ([(9, 9), (3, -1), (2, -2)], [(1, True), (3, False)]),
        # The clock was set back: what was registered is not in the future.
        ([(-1, -1)], [(1, True)]),
        ([(9, 9), (-1, -1)], [(2, True)]),
        ([(-1, -1), (-1, -2)], [(1, True), (2, False)]),
    ],
)
async def test_the_address_that_counts_and_the_one_to_come(
    rows: WalletRows,
    history: list[tuple[float, float]],
    expected: list[tuple[int, bool]],
) -> None:
    """History: days since which each is registered, and counts."""
    account, beside = await rows.wallet(), await rows.wallet()
    await address(rows, beside, 9, registered=4, effective=4)
    numbered = list(enumerate(history, 1))
    # In either order of the rows.
    for order in (numbered, numbered[::-1]):
        await rows.connection.execute(
            "DELETE FROM wallet.payout_addresses WHERE wallet_id = $1", account.id
        )
        for number, (registered, effective) in order:
            await address(rows, account, number, registered=registered, effective=effective)
        found = await rows.pool.many("payout_addresses", account.id, 86_400.0)
        shown = [row for row in found if row["is_shown"]]
        assert [(row["address"], row["is_effective"]) for row in shown] == [
            (f"number-{number}", is_effective) for number, is_effective in expected
        ]
        assert [row["number"] for row in found] == list(range(1, len(history) + 1))


async def registered(rows: WalletRows, account: WalletRow) -> list[tuple[int, datetime]]:
    """Numbers of an account's addresses, and since when they are registered."""
    found = await rows.connection.fetch(
        "SELECT number, registered_at FROM wallet.payout_addresses WHERE wallet_id = $1 "
        "ORDER BY number",
        account.id,
    )
    return [(row["number"], row["registered_at"]) for row in found]


async def test_addresses_of_a_wallet_are_numbered_and_count_after_the_cooling_time(
    rows: WalletRows,
) -> None:
    account, beside = await rows.wallet(), await rows.wallet()
    for number in range(1, 8):
        await address(rows, beside, number, registered=-9, effective=-9)
    store, before = WithdrawalStore(rows.pool, ORDERS), ago()
    moments = [
        await store.set_address(account.id, name, cooling=60, actor="me")
        for name in ("a", "b", "c")
    ]
    found = await registered(rows, account)
    assert [number for number, _ in found] == [1, 2, 3]
    minute = timedelta(seconds=60)
    assert moments == [moment + minute for _, moment in found]
    assert all(before < moment < ago() for _, moment in found)


async def test_an_address_is_never_registered_before_the_one_that_it_replaces(
    rows: WalletRows,
) -> None:
    account = await rows.wallet()
    await address(rows, account, 1, registered=9, effective=9)
    await address(rows, account, 2, registered=-1, effective=-1)
    await WithdrawalStore(rows.pool, ORDERS).set_address(account.id, "a", cooling=60, actor="me")
    found = await registered(rows, account)
    assert [number for number, _ in found] == [1, 2, 3]
    assert found[2][1] == found[1][1]


async def changed(rows: WalletRows, account: WalletRow, statement: str) -> None:
    """Change addresses of an account as somebody with all rights."""
    await rows.connection.execute(f"{statement} AND wallet_id = $1", account.id)


async def test_no_address_is_taken_beside_one_that_wallet_did_not_write(rows: WalletRows) -> None:
    """A first address that is the thief's for a moment makes none of the thief's count at once."""
    account = await rows.wallet()
    store = WithdrawalStore(rows.pool, ORDERS)
    for name in ("honest", "other"):
        await store.set_address(account.id, name, cooling=60, actor="me")
    change = "UPDATE wallet.payout_addresses SET address = '{}' WHERE number = 1"
    await changed(rows, account, change.format("thief"))
    for ask in (
        lambda: store.set_address(account.id, "thief", cooling=60, actor="a pooler"),
        lambda: store.addresses(account.id),
        lambda: store.record(wish(account), LIMIT),
    ):
        with pytest.raises(PayoutAddressTamperedError):
            await ask()
    await changed(rows, account, change.format("honest"))
    moment = await store.set_address(account.id, "thief", cooling=60, actor="a pooler")
    assert moment > ago(-50)
    assert (await store.addresses(account.id)).address == ""


async def test_where_the_newest_address_is_gone_no_older_one_counts_at_once(
    rows: WalletRows,
) -> None:
    account = await rows.wallet()
    store = WithdrawalStore(rows.pool, ORDERS)
    for name in ("old", "new"):
        await store.set_address(account.id, name, cooling=0, actor="me")
    await changed(rows, account, "DELETE FROM wallet.payout_addresses WHERE number = 2")
    moment = await store.set_address(account.id, "old", cooling=60, actor="a pooler")
    assert moment > ago(-50)
    assert (await store.addresses(account.id)).pending == "old"
    # No address at all still stops at once.
    await changed(rows, account, "DELETE FROM wallet.payout_addresses WHERE number = 2")
    await store.set_address(account.id, "", cooling=60, actor="me")
    assert (await store.addresses(account.id)).address == ""


async def test_a_farmer_has_so_many_new_addresses_a_day_and_none_at_any_time(
    rows: WalletRows,
) -> None:
    account, beside = await rows.wallet(), await rows.wallet()
    await address(rows, account, 1, registered=1.1, effective=1.1)
    store = WithdrawalStore(rows.pool, ORDERS)

    async def change(name: str, cooling: float = 0) -> None:
        await store.set_address(account.id, name, cooling=cooling, actor="me", most=3)

    for name in ("a", "b", "", "c"):
        await change(name)
    with pytest.raises(PayoutAddressLimitError) as caught:
        await change("d")
    assert caught.value.metadata == {"limit": "3", "used": "3"}
    # The newest is no change, and whoever stops an intruder is not kept from it.
    await change("c")
    await change("")
    assert (await store.addresses(account.id)).address == ""
    await store.set_address(beside.id, "d", cooling=0, actor="me", most=3)
    # Yesterday's count as long as they may still be cooling.
    other = await rows.wallet()
    for number in range(1, 4):
        await address(rows, other, number, registered=1.5, effective=1.5)
    with pytest.raises(PayoutAddressLimitError):
        await store.set_address(other.id, "a", cooling=2 * 86_400, actor="me", most=3)
    await store.set_address(other.id, "a", cooling=0, actor="me", most=3)


async def test_of_any_number_of_addresses_the_newest_are_looked_at(rows: WalletRows) -> None:
    """Neither a payout nor a look at all orders reads all of one wallet at once."""
    account = await rows.wallet()
    moment = NOW - timedelta(days=2)
    moments = {"registered_at": moment, "effective_at": moment}
    orders: list[dict[str, Any]] = [
        {"wallet_id": account.id, "number": number, "address": f"number-{number}", **moments}
        for number in range(1, 1102)
    ]
    await rows.connection.executemany(
        "INSERT INTO wallet.payout_addresses"
        " (wallet_id, number, address, registered_at, effective_at, mac)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        [(*order.values(), ORDERS.for_payout_address(**order)) for order in orders],
    )
    await recorded(rows, account, "number-1101 at once")
    store = WithdrawalStore(rows.pool, ORDERS)
    found = await rows.pool.many("payout_addresses", account.id, 86_400.0)
    assert [row["number"] for row in found] == list(range(102, 1102))
    assert (await store.addresses(account.id)).address == "number-1101"
    await store.set_address(account.id, "next", cooling=60, actor="me")
    await rows.wallet("payer")
    asked = wish(account)
    assert await store.record(asked, LIMIT) == asked.id
    payouts = TransactionStore(rows.pool, ORDERS)
    (payout,) = (await payouts.payment_orders([asked.id])).values()
    assert (payout.parts[0].destination, payout.is_stopped, payout.is_genuine) == (
        "number-1101",
        False,
        True,
    )
    await changed(rows, account, "UPDATE wallet.payout_addresses SET mac = NULL WHERE number = 500")
    (payout,) = (await payouts.payment_orders([asked.id])).values()
    assert not payout.is_genuine
    with pytest.raises(PayoutAddressTamperedError):
        await store.addresses(account.id)
    # All are looked at by whoever checks all orders, a page at a time.
    check, names = OrderRowStore(rows.pool), list[Name]()
    walk: Walk | None = PASTS["payout_addresses"]
    while walk is not None:
        page, walk = await check.page(walk, limit=500)
        assert len(page) <= 500
        names += [row.name for row in page]
    assert [name.number for name in names] == list(range(1, 1103))


async def test_one_change_of_a_wallets_addresses_waits_for_the_other(rows: WalletRows) -> None:
    account, beside = await rows.wallet(), await rows.wallet()
    store, connection = WithdrawalStore(rows.pool, ORDERS), rows.connection
    # Whoever adds a row that names the wallet does not conflict with this lock.
    held = "SELECT FROM wallet.wallets WHERE id = $1 FOR NO KEY UPDATE"
    async with connection.transaction():
        await connection.execute(held, account.id)
        await store.set_address(beside.id, "b", cooling=0, actor="me")
        late = asyncio.create_task(store.set_address(account.id, "a", cooling=0, actor="me"))
        await rows.until_somebody_waits()
        assert not late.done()
    await late
    assert (await store.addresses(account.id)).address == "a"


# Limits ---------------------------------------------------------------------------------------


async def test_what_leaves_counts_for_a_day_for_its_farmer_and_for_all(rows: WalletRows) -> None:
    one, other, new = [await rows.wallet() for _ in range(3)]
    await rows.payment(one, None, amount=1)
    await rows.payment(one, None, amount=2, state="succeeded", settled_at=ago(hours=23))
    left, asked = ago(hours=25), ago(hours=26)
    await rows.payment(one, None, amount=4, state="succeeded", settled_at=left, requested_at=asked)
    await rows.payment(one, None, amount=8, state="failed")
    await rows.payment(one, None, amount=16, state="expired")
    await rows.payment(one, None, amount=32, asset="xlm")
    await rows.payment(other, None, amount=64, state="sent")
    async with rows.pool.transaction() as session:
        # At the bound, by the clock of this transaction.
        await session.connection.execute(A_DAY_AGO, new_id(), one.id)

        async def used(account: WalletRow, asset: str) -> tuple[int, int]:
            row: Record | None = await session.one("withdrawn_lately", account.id, asset)
            assert row is not None
            return row["farmer"], row["pool"]

        assert await used(one, "kale") == (1 + 2, 1 + 2 + 64)
        assert await used(other, "kale") == (64, 1 + 2 + 64)
        assert await used(new, "kale") == (0, 1 + 2 + 64)
        assert await used(one, "xlm") == (32, 32)
        assert await used(one, "neither") == (0, 0)


async def used(rows: WalletRows, account: WalletRow) -> str:
    """The stroops of KALE that count against a farmer's limit of a day."""
    with pytest.raises(WithdrawalLimitError) as caught:
        await WithdrawalStore(rows.pool, ORDERS).record(
            wish(account, str(new_id()), amount=LIMIT.farmer), LIMIT
        )
    assert caught.value.metadata["of"] == "farmer"
    return caught.value.metadata["used"]


@pytest.mark.parametrize("asked", [0, 26], ids=["asked for now", "asked for a day ago"])
@pytest.mark.parametrize("age", [0, DOUBTED + 1000], ids=["signed now", "signed a while ago"])
async def test_an_end_that_somebody_wrote_takes_no_withdrawal_out_of_the_sum(
    rows: WalletRows, database: DatabaseAccess, asked: float, age: int
) -> None:
    """Whoever writes it may hold the row, too, so that wallet never corrects it."""
    one, payer = await rows.wallet(), await rows.wallet("payer")
    await address(rows, one, 1, registered=1, effective=1)
    amounts = {"succeeded": 1, "failed": 2, "expired": 4}
    for number, (state, amount) in enumerate(amounts.items(), start=1):
        sent = await rows.payment(
            one, payer, amount=amount, state="sent", requested_at=ago(hours=asked)
        )
        numbers = {"sequence": number, "bump_to": 1000 * number}
        name = since(new_id(), minus=age)
        name = UUID(int=name.int + number)
        await rows.transaction(payer.address, "excluded", [sent], id=name, **numbers)
        reason = None if state == "succeeded" else "REFUSED"
        async with connect(database.dsn("wallet")) as thief:
            for moment in ("'2021-01-01Z'", "now() - interval '1 second'"):
                with pytest.raises(asyncpg.CheckViolationError, match="ends now"):
                    await thief.execute(ENDED.format(moment=moment), sent, state, reason)
            await thief.execute(ENDED.format(moment="now()"), sent, state, reason)
    # What was never signed for, or long ago, and failed by wallet's word does not count.
    await rows.payment(one, payer, amount=8, state="failed")
    old = await rows.payment(one, payer, amount=16, state="failed")
    name = since(new_id(), minus=DOUBTED + 1000)
    await rows.transaction(payer.address, "failed", [old], id=name, sequence=9, bump_to=9000)
    assert await used(rows, one) == str(1 + 2 + 4)


async def test_what_failed_just_now_counts_until_its_payers_number_has_told(
    rows: WalletRows,
) -> None:
    one, other, payer = await rows.wallet(), await rows.wallet(), await rows.wallet("payer")
    await address(rows, one, 1, registered=1, effective=1)
    for number, (account, amount, asset, settled) in enumerate(
        [
            (one, 1, "kale", ago()),
            (one, 2, "kale", ago(hours=23)),
            (one, 4, "kale", ago(hours=25)),
            (one, 8, "xlm", ago()),
            (other, 16, "kale", ago()),
        ],
        start=1,
    ):
        failed = await rows.payment(
            account, payer, amount=amount, asset=asset, state="failed", settled_at=settled
        )
        await rows.transaction(
            payer.address, "failed", [failed], sequence=number, bump_to=1000 * number
        )
    assert await used(rows, one) == "3"
    assert (await rows.pool.one("withdrawn_lately", one.id, "kale")) is not None
    with pytest.raises(WithdrawalLimitError) as caught:
        await WithdrawalStore(rows.pool, ORDERS).record(
            wish(one, amount=1), DailyLimit(farmer=10**12, pool=3 + 16)
        )
    assert (caught.value.metadata["of"], caught.value.metadata["used"]) == ("pool", str(3 + 16))


# Recording ------------------------------------------------------------------------------------


async def test_a_request_id_is_one_wallets_own(rows: WalletRows) -> None:
    one, other = await rows.wallet(), await rows.wallet()
    store = WithdrawalStore(rows.pool, ORDERS)
    for account in (one, other):
        await address(rows, account, 1, registered=1, effective=1)
    asked = [
        wish(account, request_id)
        for account, request_id in ((one, "one"), (one, "two"), (other, "one"), (other, "two"))
    ]
    made = [await store.record(item, LIMIT) for item in asked]
    assert made == [item.id for item in asked]
    again = [await store.record(wish(one, name), LIMIT) for name in ("one", "two")]
    again += [await store.record(wish(other, name), LIMIT) for name in ("one", "two")]
    assert again == made


async def test_withdrawals_of_a_wallet_are_numbered_and_go_to_the_least_busy_payer(
    rows: WalletRows,
) -> None:
    one, other = await rows.wallet(), await rows.wallet()
    busiest, busy, idle = [await rows.wallet("payer") for _ in range(3)]
    forged = await rows.wallet("payer", id=UUID(int=1))
    await rows.connection.execute("UPDATE wallet.wallets SET mac = NULL WHERE id = $1", forged.id)
    for payer, amount in ((busiest, 9), (busy, 4)):
        for _ in range(amount):
            await rows.payment(await rows.wallet(), payer, "top_up")
    for account in (one, other):
        await address(rows, account, 1, registered=1, effective=1)
    store = WithdrawalStore(rows.pool, ORDERS)
    asked = [wish(one, "one"), wish(one, "two", amount=6), wish(other, "one", asset=Asset.XLM)]
    for item in asked:
        await store.record(item, LIMIT)
    found = await rows.connection.fetch(
        "SELECT o.id, o.kind, o.block_index, o.amount, w.asset, w.destination, p.payer_id "
        "FROM wallet.operations AS o JOIN wallet.withdrawals AS w ON w.operation_id = o.id "
        "JOIN wallet.payments AS p ON p.operation_id = o.id ORDER BY o.id"
    )
    assert [tuple(row) for row in found] == [
        (item.id, "withdraw", number, item.amount, item.asset.value, "number-1", idle.id)
        for item, number in zip(asked, (0, 1, 0), strict=True)
    ]


# Reading --------------------------------------------------------------------------------------


async def test_payouts_are_told_of_those_that_were_asked_for_with_whether_they_are_stopped(
    rows: WalletRows,
) -> None:
    account = await rows.wallet()
    await address(rows, account, 1, registered=1, effective=1)
    good, changed, _ = [
        await rows.payment(account, None, destination=place, asset=asset)
        for place, asset in (("number-1", "kale"), ("before", "xlm"), ("number-1", "kale"))
    ]
    found = await TransactionStore(rows.pool, ORDERS).payment_orders([good, changed])
    assert {
        name: (item.parts[0].destination, item.parts[0].asset, item.is_stopped)
        for name, item in found.items()
    } == {good: ("number-1", Asset.KALE, False), changed: ("before", Asset.XLM, True)}


async def test_a_withdrawal_is_told_with_its_own_operation(rows: WalletRows) -> None:
    one, other = await rows.wallet(), await rows.wallet()
    made = [
        (account, await rows.payment(account, None, amount=amount, destination=place))
        for account, amount, place in ((one, 5, "here"), (other, 6, "there"), (one, 7, "here"))
    ]
    await rows.payment(one, None, "top_up")
    store = WithdrawalStore(rows.pool, ORDERS)
    account, name = made[1]
    found = await store.by_id(name)
    assert found is not None
    assert (found.request_id, found.amount, found.destination) == (str(name), 6, "there")
    operation = found.operation
    assert (operation.id, operation.kind, operation.amount, operation.farmer_id) == (
        name,
        OperationKind.WITHDRAW,
        6,
        account.farmer_id,
    )
    assert await store.by_id(OperationId(new_id())) is None


async def test_withdrawals_are_listed_newest_first_page_by_page(rows: WalletRows) -> None:
    one, other = await rows.wallet(), await rows.wallet()
    ids = new_ids(5)[::-1]
    middle = ids[2]
    # The newest row is neither the first nor the last that was written.
    for name in (*ids[2:], *ids[:2]):
        await rows.payment(other if name == middle else one, None, id=name)
    store = WithdrawalStore(rows.pool, ORDERS)

    async def page(
        account: WalletRow | None = None, *, before: UUID | None = None, limit: int = 9
    ) -> list[UUID]:
        farmer_id = None if account is None else account.farmer_id
        found: list[Withdrawal] = await store.page(farmer_id=farmer_id, before=before, limit=limit)
        assert all(item.request_id == str(item.operation.id) for item in found)
        return [item.operation.id for item in found]

    assert await page() == ids
    assert await page(limit=2) == ids[:2]
    assert await page(before=ids[1]) == ids[2:]
    assert await page(other) == [middle]
    assert await page(one, before=middle) == ids[3:]


# How many -------------------------------------------------------------------------------------


async def refused(rows: WalletRows, account: WalletRow, counts: CountLimits) -> str:
    """Which limit one more withdrawal exceeds; empty when it is taken."""
    try:
        await WithdrawalStore(rows.pool, ORDERS).record(wish(account, str(new_id())), LIMIT, counts)
    except WithdrawalLimitError as error:
        return error.metadata["of"]
    return ""


async def test_a_farmer_has_so_many_withdrawals_open_at_a_time(rows: WalletRows) -> None:
    (payer,) = [await rows.wallet("payer")]
    account, other = await rows.wallet(), await rows.wallet()
    await address(rows, account, 1, registered=2, effective=2)
    for state in ("queued", "signed", "sent"):
        await rows.payment(account, payer, state=state)
        await rows.payment(other, payer, state=state)
    for state in ("succeeded", "failed", "expired"):
        await rows.payment(account, payer, state=state)
    assert await refused(rows, account, CountLimits(open=3)) == "open"
    assert await refused(rows, account, CountLimits(open=4)) == ""
    assert await refused(rows, account, CountLimits(open=4)) == "open"


async def test_what_ledgers_refused_within_a_day_counts_for_farmer_and_pooler(
    rows: WalletRows,
) -> None:
    (payer,) = [await rows.wallet("payer")]
    account = await rows.wallet()
    same, other = await rows.wallet(pooler=account.pooler_id), await rows.wallet()
    await address(rows, account, 1, registered=2, effective=2)
    for one in (account, account, same, other, other, other):
        await rows.payment(one, payer, state="failed", attempts=1)
    # Refused before anything was signed, long ago, or not at all.
    await rows.payment(account, payer, state="failed", attempts=0)
    await rows.payment(account, payer, state="succeeded", attempts=5)
    await rows.payment(account, payer, state="failed", attempts=1, settled_at=ago(hours=24.1))
    assert await refused(rows, account, CountLimits(failures=2)) == "failures"
    assert await refused(rows, account, CountLimits(failures=3, failures_of_pooler=3)) == (
        "failures_of_pooler"
    )
    assert await refused(rows, account, CountLimits(failures=3, failures_of_pooler=4)) == ""
