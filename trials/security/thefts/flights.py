"""Each column that a role may write of a transaction in flight, one at a time.

Ledgers take nothing for a while, so that what was signed waits, is sent again and bid for; each
payout has a payer of its own, as a change may stop it.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record
from stellar_sdk import TransactionBuilder

from localnet.network import Network
from trials.security.thefts.columns import (
    WRITABLE,
    Change,
    Order,
    ask,
    change_one,
    overpaid,
    until_over,
    values_of,
    victims,
)
from trials.security.thefts.kinds import Connection, Outcome
from trials.security.thefts.payments import rich
from trials.security.thefts.pool import Pool

_TABLE = "wallet.transactions"
#: Ledgers that take nothing: wallet sends again, and bids more.
_EMPTY = 14
#: Seconds in which ledgers take them again, and payouts end.
_OVER = 14.0
#: Seconds in which they are signed for.
_SIGNED = 5.0
_CARRIED = """
SELECT id, transaction_id FROM wallet.operations
WHERE id = ANY($1::uuid[]) AND transaction_id IS NOT NULL
"""
_STATES = """
SELECT state::text FROM wallet.operations WHERE id = ANY($1::uuid[])
"""


async def each_column_in_flight(pool: Pool, thief: Connection) -> Outcome:
    """Change them all, some at a time: each of another transaction."""
    key, address = await rich(pool), await pool.thief()
    source = await pool.rpc.load_account(key.public_key)
    builder = TransactionBuilder(source, Network().passphrase, base_fee=1)
    envelope = builder.append_manage_data_op("thief", b"1").set_timeout(300).build()
    envelope.sign(key)
    own = {
        "envelope": envelope.to_xdr(),
        "hash": envelope.hash_hex(),
        "lookup_hash": envelope.hash_hex(),
        "source": key.public_key,
    }
    changes = []
    for row in await thief.fetch(WRITABLE, [_TABLE]):
        name = row["name"]
        values = [f"'{own[name]}'"] if name in own else values_of(row, address, UUID(int=0))
        some = values if row["category"] == "E" else values[:1]
        changes += [Change(relation=_TABLE, column=name, type=row["type"], value=v) for v in some]
    pool.victims.clear()
    farmers, ends = await victims(pool), Counter[str]()
    orders = list[tuple[Order, Change]]()
    for start in range(0, len(changes), len(farmers)):
        orders += await _round(pool, thief, changes[start : start + len(farmers)], ends)
    got = await overpaid(pool, orders)
    if (await pool.rpc.load_account(key.public_key)).sequence >= envelope.transaction.sequence:
        got.append("a ledger took the thief's transaction")
    words = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    return Outcome(got=got, stopped=f"{len(changes)} changes: {words}")


async def _round(
    pool: Pool, thief: Connection, changes: Sequence[Change], ends: Counter[str]
) -> list[tuple[Order, Change]]:
    """Change one column of each transaction in flight; return what they carry with the changes."""
    async with pool.paused():
        asked = [await ask(pool, farmer) for farmer in pool.victims[: len(changes)]]
        await pool.fault(skip_ledgers=_EMPTY)
    orders = [order for order, _ in asked]
    carriers = await _carriers(pool, orders)
    refused = 0
    for change, order in zip(changes, orders, strict=True):
        carrier = carriers.get(order.operation)
        if carrier is not None:
            refused += await change_one(pool, thief, change, carrier) is None
    names = [order.operation for order in orders]
    await until_over(pool, names, seconds=_OVER)
    for _, call in asked:
        call.cancel()
    states = Counter(row[0] for row in await pool.admin.fetch(_STATES, names))
    ends.update({**states, "refused by the database": refused})
    return list(zip(orders, changes, strict=True))


async def _carriers(pool: Pool, orders: Sequence[Order]) -> dict[UUID, UUID]:
    """Wait until the payouts are signed for, as far as their payers go on; return their numbers."""
    names, rows = [order.operation for order in orders], list[Record]()
    for _ in range(int(_SIGNED * 10)):
        rows = await pool.admin.fetch(_CARRIED, names)
        if len(rows) == len(names):
            break
        await asyncio.sleep(0.1)
    return {row["id"]: row["transaction_id"] for row in rows}
