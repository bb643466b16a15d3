"""Each column that a role may write of an order that waits, one at a time, with what a thief likes.

What the named thefts do by hand is done here to everything: what the database lets a role write of
a payout, of its farmer's wallet and account and of its addresses. Nothing but the payout that was
asked for may be made, and none where it was not to go.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from devstack.wallet_calls import wait_until
from libs.common.ids import new_id
from trials.security.thefts.kinds import Connection, Outcome
from trials.security.thefts.pool import PATIENCE, Farmer, Pool

#: Farmers whose payouts wait at a time, and the stroops of KALE of each.
_VICTIMS, _AMOUNT = 8, 1000
#: What a thief would like to be paid: each farmer has it.
_LOOT = 30_000_003
#: Seconds in which a payout is made, or is not.
_PAID = 6.0
#: Tables that an order of a payout is read from, with the column that names it; whether the row
#: stays when the payout is over.
_TABLES = {
    "wallet.operations": ("id", False),
    "wallet.withdrawals": ("operation_id", False),
    "wallet.payments": ("operation_id", False),
    "wallet.wallets": ("id", True),
    "wallet.accounts": ("wallet_id", True),
    "wallet.payout_addresses": ("wallet_id", True),
}
#: Columns that a role may write, with their types, but for those that name a row.
WRITABLE = """
SELECT
    format('%s.%s', n.nspname, c.relname) AS relation,
    a.attname AS name,
    format_type(a.atttypid, NULL) AS type,
    coalesce(b.typcategory, t.typcategory)::text AS category,
    ARRAY(SELECT e.enumlabel FROM pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY 1) AS labels
FROM pg_attribute AS a
INNER JOIN pg_class AS c ON a.attrelid = c.oid
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
INNER JOIN pg_type AS t ON a.atttypid = t.oid
LEFT JOIN pg_type AS b ON t.typbasetype = b.oid
WHERE format('%s.%s', n.nspname, c.relname) = ANY($1::text[])
    AND a.attnum > 0 AND NOT a.attisdropped
    AND has_column_privilege(current_user, c.oid, a.attnum, 'UPDATE')
    AND NOT EXISTS (
        SELECT 1 FROM pg_index AS i
        WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY(i.indkey)
    )
ORDER BY 1, 2
"""
_RECORDED = """
SELECT d.operation_id, d.wallet_id FROM wallet.withdrawals AS d WHERE d.request_id = $1
"""
_STATES = """
SELECT
    CASE WHEN state IN ('queued', 'signed', 'sent') THEN 'waits' ELSE coalesce(reason, 'paid') END
FROM wallet.operations WHERE id = ANY($1::uuid[])
"""
_OPEN = """
SELECT count(*) FROM wallet.operations
WHERE id = ANY($1::uuid[]) AND state IN ('queued', 'signed', 'sent')
"""
_GIVEN_UP = """
UPDATE wallet.operations SET state = 'failed', reason = 'TAMPERED', settled_at = now()
WHERE id = ANY($1::uuid[]) AND state = 'queued'
"""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One column, and what it becomes."""

    relation: str
    column: str
    type: str
    #: SQL; $1 is the row's name.
    value: str

    @property
    def key(self) -> str:
        """Return the column that names the row."""
        return _TABLES.get(self.relation, ("id", False))[0]

    def __str__(self) -> str:
        """Return the change in words."""
        return f"{self.relation}.{self.column} = {self.value}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A payout that waits."""

    farmer: Farmer
    operation: UUID
    wallet: UUID
    #: Stroops of KALE: no other payout is of as many.
    amount: int

    def row(self, change: Change) -> UUID:
        """Return the name of the row that a change is in."""
        of_payout = not _TABLES[change.relation][1]
        return self.operation if of_payout else self.wallet


async def each_column(pool: Pool, thief: Connection) -> Outcome:
    """Change them all, some at a time: each in the rows of another farmer."""
    await victims(pool)
    address, ends = await pool.thief(), Counter[str]()
    orders = list[tuple[Order, Change]]()
    other = await pool.admin.fetchval(
        "SELECT id FROM wallet.wallets WHERE farmer_id = $1", UUID(pool.honest.id)
    )
    changes = list(_changes(await thief.fetch(WRITABLE, list(_TABLES)), address, other))
    for start in range(0, len(changes), _VICTIMS):
        some = changes[start : start + _VICTIMS]
        orders += await _round(pool, thief, some, ends)
    words = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    got = await overpaid(pool, orders)
    return Outcome(got=got, stopped=f"{len(changes)} changes: {words}")


async def victims(pool: Pool) -> Sequence[Farmer]:
    """Return the farmers whose rows are changed."""
    while len(pool.victims) < _VICTIMS:
        pool.victims.append(await pool.farmer())
    return pool.victims


async def overpaid(pool: Pool, orders: Sequence[tuple[Order, Change]]) -> list[str]:
    """Return in words which payouts were made twice, or were never asked for, by the chain."""
    asked = {(order.farmer.outside, order.amount): change for order, change in orders}
    outsides, paid = {address for address, _ in asked}, await pool.payments()
    first = min(amount for _, amount in asked)
    twice = [
        f"{key[1]:,} stroops of KALE {paid[key]} times, by {change}"
        for key, change in asked.items()
        if paid[key] > 1
    ]
    return twice + [
        f"{amount:,} stroops of KALE that nobody asked for"
        for to, amount in paid
        if to in outsides and amount >= first and (to, amount) not in asked
    ]


def _changes(rows: Sequence[asyncpg.Record], address: str, other: UUID) -> Iterator[Change]:
    for row in rows:
        for value in values_of(row, address, other):
            yield Change(
                relation=row["relation"], column=row["name"], type=row["type"], value=value
            )


def values_of(row: asyncpg.Record, address: str, other: UUID) -> Sequence[str]:
    """Return what a thief would like a column to be, as SQL."""
    column, relation = row["name"], row["relation"]
    if row["type"] == "bytea":
        key = _TABLES.get(relation, ("id", False))[0]
        copied = f"(SELECT o.{column} FROM {relation} AS o WHERE o.{key} <> $1 LIMIT 1)"  # noqa: S608  (the catalogue's names)
        return [copied, "NULL"]
    if row["type"] == "uuid":
        return [f"'{other}'"]
    return {
        "S": [f"'{address}'", "''"],
        "N": [str(_LOOT), "1", "0"],
        "D": ["'2021-01-01Z'", "now() + interval '1 year'"],
        "B": [f"NOT {column}"],
        "E": [f"'{label}'" for label in row["labels"]],
    }[row["category"]]


async def _round(
    pool: Pool, thief: Connection, changes: Sequence[Change], ends: Counter[str]
) -> list[tuple[Order, Change]]:
    """Change one column of each payout that waits; return these with the changes."""
    async with pool.paused():
        asked = [await ask(pool, farmer) for farmer in pool.victims[: len(changes)]]
        orders = [order for order, _ in asked]
        olds = [
            await change_one(pool, thief, change, order.row(change))
            for change, order in zip(changes, orders, strict=True)
        ]
    names = [order.operation for order in orders]
    await until_over(pool, names)
    for _, call in asked:
        call.cancel()
    # What the database refused was paid as it was asked for.
    refused = sum(old is None for old in olds)
    states = Counter(row[0] for row in await pool.admin.fetch(_STATES, names))
    ends.update({**states, "refused by the database": refused})
    ends["paid"] -= refused
    await _put_back(pool, changes, orders, olds)
    return list(zip(orders, changes, strict=True))


async def ask(pool: Pool, farmer: Farmer) -> "tuple[Order, asyncio.Task[Any]]":
    """Have a payout asked for that waits, as everything is paused."""
    name, row = str(new_id()), None
    pool.asked += 1
    amount = _AMOUNT + pool.asked
    call = asyncio.create_task(pool.withdraw(farmer, amount, timeout=PATIENCE, name=name))

    async def is_recorded() -> bool:
        nonlocal row
        row = await pool.admin.fetchrow(_RECORDED, name)
        if call.done():
            raise RuntimeError(f"a payout does not wait: {call.result()}")
        return row is not None

    await wait_until(is_recorded, "a payout is not recorded", seconds=PATIENCE)
    assert row is not None  # noqa: S101  (it was waited for)
    order = Order(
        farmer=farmer, operation=row["operation_id"], wallet=row["wallet_id"], amount=amount
    )
    return order, call


async def change_one(pool: Pool, thief: Connection, change: Change, name: UUID) -> list[Any] | None:
    """Change a column; return what it was in each row, or None when the database refuses."""
    table, column, key = change.relation, change.column, change.key
    before = await pool.admin.fetch(
        f"SELECT {column}::text AS old FROM {table} WHERE {key} = $1",  # noqa: S608  (the catalogue's names)
        name,
    )
    try:
        await thief.execute(
            f"UPDATE {table} SET {column} = {change.value} WHERE {key} = $1",  # noqa: S608  (as above)
            name,
        )
    except asyncpg.PostgresError:
        return None
    return [row["old"] for row in before]


async def until_over(pool: Pool, names: Sequence[UUID], *, seconds: float = _PAID) -> None:
    """Wait until payouts have ended; for those that a change keeps waiting, not for long."""
    for _ in range(int(seconds * 5)):
        if not await pool.admin.fetchval(_OPEN, names):
            return
        await asyncio.sleep(0.2)


async def _put_back(
    pool: Pool,
    changes: Sequence[Change],
    orders: Sequence[Order],
    olds: Sequence[list[Any] | None],
) -> None:
    """Give up what still waits, and put back what is no payout's alone."""
    await pool.repair(_GIVEN_UP, [order.operation for order in orders])
    for change, order, old in zip(changes, orders, olds, strict=True):
        if old and _TABLES[change.relation][1]:
            await pool.repair(
                f"UPDATE {change.relation} SET {change.column} = $2::text::{change.type} "  # noqa: S608  (the catalogue's names)
                f"WHERE {change.key} = $1",
                order.row(change),
                old[0],
            )
