"""Looks at orders after years: all that is live each time, and the past in rounds."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from services.wallet.domain.orders import Name, SeenRow, digest_of
from services.wallet.engine.order_check import OrderCheck, Share
from services.wallet.engine.row_keys import RowKeys
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store.order_rows import PASTS, OrderRowStore, all_walks, live_walks
from tests.integration.wallet.test_wallet_audit_floods import SQL
from tests.integration.wallet.test_wallet_order_check import age, open_check, seal
from tests.support.order_history import (
    TABLES,
    aged,
    fill,
    keys_of,
    plan_as_usual,
    rows_read,
    swap_mac,
)
from tests.support.wallet_rows import WalletRow, WalletRows, ago

#: Rows of each table's past, and those of them that one look takes.
ROWS, SHARE = 7, 2
#: Looks of a round that begins anywhere: the part up to the end, and the part before.
LOOKS = ROWS // SHARE + 2
NOBODY = bytes(34)
#: Rows of a short history, and how many times as long the other one is.
SHORT, TIMES = 2_000, 4
#: An id of years ago that no other row has.
LONG_AGO = UUID("01900009-0000-7000-8000-000000000001")


@dataclass(frozen=True, kw_only=True)
class Years:
    """A check over rows of years ago, of which each look takes a few."""

    rows: WalletRows
    macs: RowMacs
    keys: RowKeys
    check: OrderCheck
    farmer: WalletRow
    payer: WalletRow

    def name(self, table: str, number: int = 4) -> Name:
        """The name of a row of years ago."""
        return aged(table, number, self.farmer, self.payer)

    async def find(self, looks: int = LOOKS) -> int:
        """Return the number of the look that first finds a forged row."""
        for look in range(1, looks + 1):
            if (await self.check.step()).count:
                return look
        raise AssertionError("no look has found it")


@pytest.fixture
async def years(rows: WalletRows) -> Years:
    await seal(rows.pool)
    macs, keys, check = open_check(rows.pool, Share(past=SHARE, brought=SHARE, forged=2))
    await keys.open()
    farmer, payer = await rows.wallet(), await rows.wallet("payer")
    await rows.wallet("treasury")
    await fill(rows, farmer, payer, ROWS)
    assert await check.sign(None, actor="operator") == ROWS * len(TABLES)
    return Years(rows=rows, macs=macs, keys=keys, check=check, farmer=farmer, payer=payer)


# What is forged -------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
async def test_a_forged_row_of_the_past_is_found_within_a_round_and_told_until_it_is_mended(
    years: Years, table: str
) -> None:
    name = years.name(table)
    genuine = await swap_mac(years.rows, name, NOBODY)
    await years.find()
    for _ in range(LOOKS):
        assert [row.name for row in (await years.check.step()).forged] == [name]
    assert years.check.warnings == ["rows that wallet did not write: 1 (kalepool orders check)"]
    # The next look sees that it is mended, wherever the round is.
    await swap_mac(years.rows, name, genuine)
    assert (await years.check.step()).count == 0
    assert years.check.is_clean


async def test_a_round_goes_through_each_row_and_begins_anew(years: Years) -> None:
    for _ in range(2):
        for number in range(1, ROWS + 1):
            genuine = await swap_mac(years.rows, years.name("payments", number), NOBODY)
            await years.find()
            await swap_mac(years.rows, years.name("payments", number), genuine)
            assert (await years.check.step()).count == 0


async def test_a_look_takes_its_share_of_the_past(years: Years) -> None:
    # The first look begins anywhere.
    await years.check.step()
    looked = (await years.check.step()).rows
    assert looked["wallets"] == 3
    live = {"payout_addresses", "agreements", "shown_targets", "block_openings"}
    for table in set(PASTS) - live - {"pauses", "approvals"}:
        assert 0 < looked[table] <= SHARE, table
    # The address and the agreement that count, and the last target, are live.
    assert 0 < looked["payout_addresses"] <= SHARE + 1
    assert 0 < looked["agreements"] <= SHARE + 1
    assert 0 < looked["shown_targets"] <= SHARE + 1
    # So are those of the last blocks, which have no age but their numbers.
    assert looked["block_openings"] == ROWS


async def test_forged_rows_beyond_those_that_are_kept_are_counted(years: Years) -> None:
    names = [years.name("payments", number) for number in (2, 3, 4, 6, 7)]
    genuine = {name: await swap_mac(years.rows, name, NOBODY) for name in names}
    for _ in range(2 * LOOKS):
        found = await years.check.step()
    assert (len(found.forged), found.count) == (2, 5)
    # Those that are kept are mended: the others are still told, and found one by one.
    for row in found.forged:
        await swap_mac(years.rows, row.name, genuine.pop(row.name))
    assert (await years.check.step()).count >= 3
    for _ in range(2 * LOOKS):
        found = await years.check.step()
    assert {row.name for row in found.forged} < set(genuine)
    assert (len(found.forged), found.count) == (2, 3)
    assert await years.check.sign(None, actor="operator") == 3
    assert (await years.check.step()).count == 0


async def test_a_forged_row_that_is_gone_is_not_told_any_more(years: Years) -> None:
    await swap_mac(years.rows, years.name("tokens"), NOBODY)
    await years.find()
    await years.rows.connection.execute(
        "DELETE FROM wallet.tokens WHERE id = $1", years.name("tokens").key
    )
    assert (await years.check.step()).count == 0


async def test_an_operator_sees_and_signs_all_of_the_past_at_once(years: Years) -> None:
    for table in TABLES:
        await swap_mac(years.rows, years.name(table), NOBODY)
    found = await years.check.look()
    assert [row.name for row in found.forged] == [years.name(table) for table in TABLES]
    assert {found.rows[table] for table in TABLES} == {ROWS}
    assert await years.check.sign(None, actor="operator") == len(TABLES)
    assert (await years.check.look()).count == 0
    assert years.check.is_clean


@pytest.mark.parametrize(
    "name",
    [
        Name(table="nothing", key=LONG_AGO),
        Name(table="payout_addresses", key=LONG_AGO, number=2**40),
        Name(table="tokens", key=LONG_AGO, number=4),
    ],
)
async def test_a_name_of_no_row_signs_nothing(years: Years, name: Name) -> None:
    seen = SeenRow(name=name, digest=digest_of(b""))
    assert await years.check.sign([seen], actor="operator") == 0


# What is live, however old --------------------------------------------------------------------


async def waiting(years: Years, **values: Any) -> None:
    moment, block = ago(hours=999), ROWS + 1
    await years.rows.payment(
        years.farmer, years.payer, id=LONG_AGO, block=block, requested_at=moment, **values
    )


async def old_and_live(years: Years, case: str) -> None:
    """Write a genuine row of long ago that wallet may still act on."""
    rows = years.rows
    if case == "ended":
        await waiting(years, state="succeeded")
    elif case == "refused":
        await waiting(years, state="failed")
    elif case == "operation":
        await rows.operation(years.farmer, "plant", id=LONG_AGO, amount=5, block=ROWS + 1)
    elif case == "transaction":
        await rows.transaction(id=LONG_AGO)
    elif case in ("token", "approval", "pause"):
        await rows.connection.execute("SET session_replication_role = replica")
        await rows.connection.execute(_STILL_GOOD[case], years.name("tokens").key)
        await rows.connection.execute("RESET session_replication_role")
        await years.check.sign(None, actor="operator")
    else:
        await waiting(years)


_STILL_GOOD = {
    "token": "UPDATE wallet.tokens SET expires_at = now() + interval '1 day' WHERE id = $1",
    "approval": "UPDATE wallet.approvals SET expires_at = now() + interval '1 day' WHERE id = $1",
    "pause": "UPDATE wallet.pauses SET resumed_at = now() WHERE id = $1",
}
#: The statement that forges it, by what the row is.
_FORGE = {
    "waiting withdrawal": "UPDATE wallet.withdrawals SET amount = 9 WHERE operation_id = $1",
    "waiting payment": "UPDATE wallet.payments SET mac = NULL WHERE operation_id = $1",
    "waiting operation": "UPDATE wallet.operations SET amount = 9 WHERE id = $1",
    "ended": "UPDATE wallet.withdrawals SET amount = 9 WHERE operation_id = $1",
    "refused": "UPDATE wallet.withdrawals SET amount = 9 WHERE operation_id = $1",
    "operation": "UPDATE wallet.operations SET amount = 9 WHERE id = $1",
    "transaction": "UPDATE wallet.transactions SET sequence = 9 WHERE id = $1",
    "token": "UPDATE wallet.tokens SET subject = 'you' WHERE id = $1",
    "approval": "UPDATE wallet.approvals SET asked_by = 'bob' WHERE id = $1",
    "pause": "UPDATE wallet.pauses SET reason = 'drill' WHERE id = $1",
}


@pytest.mark.parametrize("case", _FORGE)
async def test_what_is_old_and_live_is_looked_at_in_every_look(years: Years, case: str) -> None:
    await old_and_live(years, case)
    _, keys, check = open_check(years.rows.pool, Share(past=0))
    await keys.open()
    assert (await check.step()).count == 0
    key = years.name("tokens").key if case in _STILL_GOOD else LONG_AGO
    await years.rows.connection.execute("SET session_replication_role = replica")
    await years.rows.connection.execute(_FORGE[case], key)
    await years.rows.connection.execute("RESET session_replication_role")
    found = await check.step()
    assert [row.name.key for row in found.forged] == [key]


async def test_an_address_that_counts_while_later_ones_cool_is_live(years: Years) -> None:
    """Number 8 was replaced while it cooled: number 7 counts until number 9 does."""
    rows = years.rows
    for number, hours, cooling in ((ROWS + 1, 30, 24), (ROWS + 2, 29, 48)):
        await rows.insert(
            "wallet.payout_addresses",
            wallet_id=years.farmer.id,
            number=number,
            address="G",
            registered_at=ago(hours=hours),
            effective_at=ago(hours=hours - cooling),
        )
    (walk,) = (one for one in live_walks() if one.table == "payout_addresses")
    page, after = await OrderRowStore(rows.pool).page(walk, limit=100)
    assert ([row.name.number for row in page], after) == ([ROWS, ROWS + 1, ROWS + 2], None)


# Another key ----------------------------------------------------------------------------------


async def test_an_older_key_counts_until_each_row_of_the_past_is_under_the_new_one(
    years: Years,
) -> None:
    rows, keys, check = years.rows, years.keys, years.check
    leaked = years.macs.mac(b"row")
    assert await keys.replace(actor="operator") == 2
    await age(rows, 20)
    await keys.open()
    steps = 0
    while years.macs.is_genuine(b"row", leaked):
        assert steps <= LOOKS
        assert (await check.step()).count == 0
        steps += 1
        await keys.open()
        under = {table: await keys_of(rows, table) - {0} for table in TABLES}
        is_done = all(found == {2} for found in under.values())
        assert is_done is not check.is_bringing_over
    # One look takes a few rows of each table.
    assert steps > ROWS // SHARE - 1
    for _ in range(LOOKS):
        assert (await check.step()).count == 0


async def test_a_key_is_not_given_up_by_a_walk_that_began_while_others_wrote_under_it(
    years: Years,
) -> None:
    rows, keys, check = years.rows, years.keys, years.check
    leaked, name = years.macs.mac(b"row"), years.name("payments", 1)
    before = await swap_mac(rows, name, NOBODY)
    await swap_mac(rows, name, before)
    await keys.replace(actor="operator")
    await age(rows, 2)
    await keys.open()
    await check.step()
    while check.is_bringing_over:
        await check.step()
    # Another process has written a row since then that this walk had passed.
    await swap_mac(rows, name, before)
    await age(rows, 20)
    await keys.open()
    await check.step()
    assert check.is_bringing_over
    while check.is_bringing_over:
        assert years.macs.is_genuine(b"row", leaked)
        await check.step()
    await keys.open()
    assert not years.macs.is_genuine(b"row", leaked)
    assert await keys_of(rows, "payments") == {2}


# What a look costs ----------------------------------------------------------------------------


async def costs(years: Years) -> dict[str, float]:
    """Return the rows that one page of each walk reads, and that rows by their names take."""
    found = dict[str, float]()
    for walk in live_walks():
        name = f"live {walk.table} {walk.query} {walk.columns}"
        arguments = (501, *walk.place, *walk.arguments)
        found[name] = await rows_read(years.rows, SQL[walk.query].sql, *arguments)
    for walk in all_walks():
        if walk.table in PASTS:
            arguments = (101, *walk.place, *walk.arguments)
            found[f"all {walk.query}"] = await rows_read(
                years.rows, SQL[walk.query].sql, *arguments
            )
    for query in ("operations", "ends", "withdrawals", "payments", "transactions", "tokens"):
        keys = [years.name(query, number).key for number in range(1, 6)]
        sql = SQL[f"order_{query}"].sql
        found[f"named {query}"] = await rows_read(years.rows, sql, keys)
    return found


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
async def test_a_look_reads_the_same_however_long_the_history_is(years: Years, plans: str) -> None:
    await years.rows.connection.execute(f"SET plan_cache_mode = {plans}")
    found = list[dict[str, float]]()
    for count in (SHORT, SHORT * TIMES):
        await _empty(years)
        await fill(years.rows, years.farmer, years.payer, count)
        await plan_as_usual(years.rows)
        found.append(await costs(years))
    few, many = found
    for name, read in many.items():
        limit = 0 if name.startswith("live") else 5 if name.startswith("named") else 101
        if name.startswith("live block_openings"):
            limit = 1_000  # blocks: all that may still be harvested, and more
        assert read <= 3 * limit + 20, name
        assert read <= few[name] + 20, name


async def _empty(years: Years) -> None:
    await years.rows.connection.execute("SET session_replication_role = replica")
    for table in ("operations", *(one for one in TABLES if one not in ("operations", "ends"))):
        await years.rows.connection.execute(f"DELETE FROM wallet.{table}")  # noqa: S608  (ours)
    await years.rows.connection.execute("RESET session_replication_role")
