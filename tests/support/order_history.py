"""Rows of years ago in each table that wallet acts on, and how many rows a statement reads."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from services.wallet.domain.orders import Name
from services.wallet.store.order_rows import PASTS
from tests.support.table_rows import SORTED_READS
from tests.support.wallet_rows import WalletRow, WalletRows

#: The ids of rows by their numbers: payments and others, what was found, and what is no payment.
_ID = "('{}-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
_PAID, _FOUND, _OTHER = "01900000", "01900001", "01900002"
_THEN = "'2024-07-01 00:00Z'::timestamptz + make_interval(secs => n)"
_NOBODY = "decode(repeat('00', 34), 'hex')"

#: Writes rows 1 to $1 of farmer $2, payer $3 and the payer's address $4, none signed.
_FILLS = (
    """
    INSERT INTO wallet.operations (
        id, kind, wallet_id, block_index, state, amount, settled_at, ledger, is_found
    )
    SELECT {id}, {kind}, $2, n, 'succeeded', 5, {then}, 100, {is_found} FROM {numbers} AS n
    """,
    """
    INSERT INTO wallet.withdrawals (
        operation_id, wallet_id, request_id, asset, amount, destination, requested_at
    )
    SELECT {paid}, $2, n::text, 'kale', 5, 'outside', {then} FROM {numbers} AS n
    """,
    """
    INSERT INTO wallet.payouts (
        operation_id, wallet_id, number, request_id, amount, destination, pooler, operator, miners,
        pooler_account, operator_account, requested_at
    )
    SELECT {paid}, $2, n, n::text, 5, 'outside', 0, 0, 0, '', '', {then} FROM {numbers} AS n
    """,
    """
    INSERT INTO wallet.pool_payments (
        operation_id, wallet_id, number, request_id, is_miner, amount, destination, requested_at
    )
    SELECT {paid}, $2, n, n::text, true, 5, 'outside', {then} FROM {numbers} AS n
    """,
    """
    INSERT INTO wallet.block_openings (block_index, opened_at)
    SELECT n, {then} FROM {numbers} AS n
    """,
    "INSERT INTO wallet.payments (operation_id, payer_id) SELECT {paid}, $3 FROM {numbers} AS n",
    """
    INSERT INTO wallet.payout_addresses (wallet_id, number, address, registered_at, effective_at)
    SELECT $2, n, 'G' || n, {then}, {then} FROM {numbers} AS n
    """,
    """
    INSERT INTO wallet.agreements (
        wallet_id, number, stake_bps, pooler_bps, operator_bps, miners_bps, payout_threshold,
        payout_interval_seconds, harvest_blocks, given_by, proof, terms_version, terms_digest,
        registered_at, effective_at
    )
    SELECT $2, n, 0, n % 100, 0, 0, 0, 0, 1, 'me', 'operator', 0, sha256(''), {then}, {then}
    FROM {numbers} AS n
    """,
    "INSERT INTO wallet.shown_targets (payer_id, target) SELECT $3, n * 100 FROM {numbers} AS n",
    """
    INSERT INTO wallet.transactions (
        id, state, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger,
        ledger, closed_at, bump_to
    )
    SELECT {id}, 'succeeded', {source}, n * 100, {id}, {id}, 'x', n, 100, 100, 100, {then},
        {bump_to}
    FROM {numbers} AS n
    """,
    """
    INSERT INTO wallet.tokens (
        id, role, subject, name, methods, is_read_only, secret_hash, request_id, created_by,
        created_at, expires_at, mac
    )
    SELECT {paid}, 'operator', 'me', 'token', '{{}}', false, sha256(n::text::bytea), '', 'me',
        {then}, {then}, {nobody}
    FROM {numbers} AS n
    """,
    """
    INSERT INTO wallet.pauses (id, scope, reason, paused_by, paused_at, resumed_by, resumed_at)
    SELECT {paid}, 'everything', 'fire', 'me', {then}, 'me', {then} FROM {numbers} AS n
    """,
    """
    INSERT INTO wallet.approvals (id, method, digest, request, asked_by, asked_at, expires_at)
    SELECT {paid}, '/m', sha256(''), '{{}}', 'ann', {then}, {then} FROM {numbers} AS n
    """,
)
_VARIANTS: tuple[dict[str, str], ...] = (
    {"kind": "'withdraw'", "is_found": "false", "source": "$4", "bump_to": "n * 100 + 50"},
    {"kind": "'harvest'", "is_found": "true"},
    {"kind": "'plant'", "is_found": "false", "source": "'G' || n", "bump_to": "NULL"},
)
#: A row's authenticator by its table: the table that has it, its column, and the row's key.
_MACS = {
    "operations": ("operations", "mac", "id"),
    "ends": ("operations", "end_mac", "id"),
    "withdrawals": ("withdrawals", "mac", "operation_id"),
    "payouts": ("payouts", "mac", "operation_id"),
    "pool_payments": ("pool_payments", "mac", "operation_id"),
    "block_openings": ("block_openings", "mac", "block_index"),
    "payments": ("payments", "mac", "operation_id"),
    "payout_addresses": ("payout_addresses", "mac", "number"),
    "agreements": ("agreements", "mac", "number"),
    "shown_targets": ("shown_targets", "mac", "target"),
    "transactions": ("transactions", "mac", "id"),
    "tokens": ("tokens", "mac", "id"),
    "pauses": ("pauses", "resume_mac", "id"),
    "approvals": ("approvals", "mac", "id"),
}


async def fill(
    rows: WalletRows,
    farmer: WalletRow,
    payer: WalletRow,
    count: int,
    *,
    is_backwards: bool = False,
) -> None:
    """Write so many rows of each table, as if they had been written years ago.

    Beside them are as many operations and transactions that are no payments. The rows stand in the
    order of their numbers, or in the reverse one.
    """
    given = {"count": count, "farmer": farmer.id, "payer": payer.id, "address": payer.address}
    common = {
        "numbers": "generate_series($1, 1, -1)" if is_backwards else "generate_series(1, $1)",
        "paid": _ID.format(_PAID),
        "then": _THEN,
        "nobody": _NOBODY,
    }
    await rows.connection.execute("SET session_replication_role = replica")
    for statement in _FILLS:
        for prefix, variant in zip((_PAID, _FOUND, _OTHER), _VARIANTS, strict=True):
            needs = {name for name in ("kind", "source") if "{" + name + "}" in statement}
            if needs <= variant.keys() and (needs or prefix == _PAID):
                text = statement.format(id=_ID.format(prefix), **variant, **common)
                await rows.connection.execute(*_used(text, list(given.values())))
    await rows.connection.execute("RESET session_replication_role")


def _used(text: str, values: Sequence[object]) -> list[Any]:
    """Return a statement and the values that it uses, under numbers without a gap."""
    used = [n for n in range(1, len(values) + 1) if f"${n}" in text]
    for place, n in enumerate(used, start=1):
        text = text.replace(f"${n}", f"${place}")
    return [text, *(values[n - 1] for n in used)]


async def plan_as_usual(rows: WalletRows) -> None:
    """Let the server count what the tables hold, and use every kind of plan."""
    await rows.connection.execute("ANALYZE")
    for kind in SORTED_READS:
        await rows.connection.execute(f"SET enable_{kind} = on")


def aged(table: str, number: int, farmer: WalletRow, payer: WalletRow) -> Name:
    """Return the name of a row of years ago, by its number."""
    if table in {"payout_addresses", "agreements"}:
        return Name(table=table, key=farmer.id, number=number)
    if table == "shown_targets":
        return Name(table=table, key=payer.id, number=number * 100)
    if table == "block_openings":
        return Name(table=table, key=UUID(int=0), number=number)
    prefix = _FOUND if table == "ends" else _PAID
    return Name(table=table, key=UUID(f"{prefix}-0000-7000-8000-{number:012x}"))


async def swap_mac(rows: WalletRows, name: Name, mac: bytes) -> bytes:
    """Write another authenticator of a row, with all rights, and return the one before."""
    table, column, key = _MACS[name.table]
    value = name.number or name.key
    connection = rows.connection
    where = f"FROM wallet.{table} WHERE {key} = $1"
    before = await connection.fetchval(f"SELECT {column} {where}", value)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        f"UPDATE wallet.{table} SET {column} = $2 WHERE {key} = $1",  # noqa: S608  (ours)
        value,
        mac,
    )
    await connection.execute("RESET session_replication_role")
    return bytes(before)


async def keys_of(rows: WalletRows, table: str) -> set[int]:
    """Return the numbers of the keys under which the rows of a table's past are signed."""
    name, mac, _ = _MACS[table]
    where = "WHERE is_found" if table == "ends" else ""
    found = await rows.connection.fetch(
        f"SELECT DISTINCT get_byte({mac}, 1) AS key FROM wallet.{name} {where}"  # noqa: S608
    )
    return {row["key"] for row in found if row["key"] is not None}


# Plans ----------------------------------------------------------------------------------------


def scans(plan: dict[str, Any]) -> Iterator[float]:
    """Yield the rows that each scan of a table or an index has read."""
    rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    rows += plan.get("Rows Removed by Index Recheck", 0) + plan.get(
        "Rows Removed by Join Filter", 0
    )
    if "Relation Name" in plan or "Join" in plan["Node Type"] or plan["Node Type"] == "Nested Loop":
        yield rows * plan["Actual Loops"]
    for below in plan.get("Plans", ()):
        yield from scans(below)


async def rows_read(rows: WalletRows, sql: str, *arguments: object) -> float:
    """Return the number of rows that a statement reads."""
    explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}"
    found = await rows.connection.fetchval(explained, *arguments)
    return sum(scans(json.loads(found)[0]["Plan"]))


#: The tables with a past.
TABLES = tuple(PASTS)
