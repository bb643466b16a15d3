"""The check of the audit log reads each row a few times, however many somebody has written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.queries import load_queries
from services.wallet.domain.audit import Act, Action, Findings
from services.wallet.store import QUERIES
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.custody import CustodyStore
from tests.support.order_history import rows_read
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRow, WalletRows

#: Rows of the smaller flood; the larger one has four times as many.
FEW, TIMES = 500, 4
SQL = load_queries(QUERIES) if isinstance(QUERIES, Path) else load_queries(*QUERIES)
#: Addresses of one wallet, with records of half of them, one a second, or all of one moment.
ADDRESSES = """
INSERT INTO wallet.payout_addresses (wallet_id, number, address, registered_at, effective_at)
SELECT $1, n, {address}, {moment}, {moment} FROM generate_series(1, $2) AS n
"""
RECORDS = """
INSERT INTO wallet.audit_log (number, at, actor, action, subject, details, previous, hash)
SELECT n, {moment}, 'me', 'set_payout_address', format('wallet %s', $1::uuid),
    {address} || ' at once', sha256(''), sha256('')
FROM generate_series(1, $2) AS n
"""
MOMENTS = ("now()", "now() - interval '1 day' + make_interval(secs => n)")
NAMES = ("'G' || n", "'G'")


async def read(rows: WalletRows, query: str, *arguments: object) -> float:
    """The rows that a query reads."""
    return await rows_read(rows, SQL[query].sql, *arguments)


async def flood(rows: WalletRows, owner: WalletRow, count: int, moment: str, name: str) -> None:
    """Write so many addresses and records of one wallet, in place of those that are there."""
    await rows.connection.execute("SET session_replication_role = replica")
    for table in ("payout_addresses", "audit_log"):
        await rows.connection.execute(f"DELETE FROM wallet.{table}")  # noqa: S608  (ours)
    for statement in (ADDRESSES, RECORDS):
        text = statement.format(moment=moment, address=name)
        await rows.connection.execute(text, owner.id, count)
    await rows.connection.execute("RESET session_replication_role")
    await rows.connection.execute("ANALYZE wallet.payout_addresses, wallet.audit_log")


async def grows(
    rows: WalletRows, moment: str, name: str, reading: Callable[[int], Any]
) -> tuple[float, float]:
    """What is read of a small flood, and of a larger one."""
    owner = await rows.wallet()
    found = []
    for count in (FEW, FEW * TIMES):
        await flood(rows, owner, count, moment, name)
        found.append(await reading(count))
    return found[0], found[1]


@pytest.mark.parametrize("moment", MOMENTS, ids=["at one moment", "one a second"])
@pytest.mark.parametrize("name", NAMES, ids=["all different", "all alike"])
async def test_a_flood_of_addresses_is_held_against_the_log_row_by_row(
    rows: WalletRows, moment: str, name: str
) -> None:
    few, many = await grows(
        rows, moment, name, lambda _: read(rows, "recorded_addresses", UUID(int=0), 5000)
    )
    assert FEW <= few <= 20 * FEW
    assert many <= 1.5 * TIMES * few


@pytest.mark.parametrize("moment", MOMENTS, ids=["at one moment", "one a second"])
@pytest.mark.parametrize("name", NAMES, ids=["all different", "all alike"])
async def test_a_flood_of_records_is_held_against_addresses_row_by_row(
    rows: WalletRows, moment: str, name: str
) -> None:
    few, many = await grows(
        rows, moment, name, lambda count: read(rows, "records_without_rows", 0, count)
    )
    assert FEW <= few <= 20 * FEW
    assert many <= 1.5 * TIMES * few


async def test_the_watch_reads_new_records_only_however_long_the_log_is(rows: WalletRows) -> None:
    few, many = await grows(
        rows, "now()", "'G'", lambda count: read(rows, "audit_seals", count - 10, count, 1000)
    )
    assert few == many == 10
    # A page, and no more than that.
    assert await read(rows, "audit_seals", 0, FEW * TIMES, 100) == 100


async def findings(rows: WalletRows) -> list[str]:
    """What the check of rows finds."""
    found = Findings()
    await AuditCheck(rows.pool).rows(found)
    return [text for text in found.words() if "payout address" in text]


async def test_an_address_needs_a_record_of_its_own_of_that_hour(rows: WalletRows) -> None:
    sound, other, late, gone = [await rows.wallet() for _ in range(4)]
    store = CustodyStore(rows.pool, ORDERS)
    for owner, address in ((sound, "G1"), (sound, "none"), (other, "G2"), (late, "G1")):
        act = Act(
            actor="me",
            action=Action.SET_PAYOUT_ADDRESS,
            subject=f"wallet {owner.id}",
            details=f"{address} at once",
        )
        await store.record(act)
    insert = """
    INSERT INTO wallet.payout_addresses (wallet_id, number, address, registered_at, effective_at)
    VALUES ($1, $2, $3, clock_timestamp() + $4::text::interval, clock_timestamp())
    """
    await rows.connection.execute("SET session_replication_role = replica")
    for owner, number, address, moment in (
        (sound, 1, "G1", "0 s"),
        (sound, 2, "", "59 minutes"),
        (other, 1, "G1", "0 s"),
        (late, 1, "G1", "61 minutes"),
        (gone, 1, "G1", "0 s"),
    ):
        await rows.connection.execute(insert, owner.id, number, address, moment)
    await rows.connection.execute("RESET session_replication_role")
    told = await findings(rows)
    assert len(told) == 3
    for owner in (other, late, gone):
        assert any(str(owner.id) in text for text in told)
