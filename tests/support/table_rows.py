"""Rows as a test wants them, and reads that show in which order a query asks for them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from libs.common.ids import new_id
from tests.support.database import Connection, DatabaseAccess, connect

_T = TypeVar("_T")

#: Ways of PostgreSQL to read rows in the order of a key, though no query asks for that order.
SORTED_READS = (
    "indexscan",
    "indexonlyscan",
    "bitmapscan",
    "mergejoin",
    "sort",
    "incremental_sort",
)
#: Tables of events: the column of their time, and values that only they have.
_EVENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plant.plantings": ("planted_at", {"stake_amount": 250}),
    "work.works": ("worked_at", {"nonce": 1, "hash": bytes(32), "zeros": 4, "gap": 3}),
    "harvest.harvests": ("harvested_at", {"reward_amount": 3, "stake_returned": 7}),
}


async def read_as_stored(database: DatabaseAccess) -> None:
    """Let connections that are opened from now on read rows in the order in which they stand."""
    off = (f'ALTER DATABASE "{database.name}" SET enable_{name} = off' for name in SORTED_READS)
    async with connect(database.admin_dsn) as connection:
        await connection.execute("; ".join(off))


def new_ids(count: int) -> list[UUID]:
    """Return new ids in their order."""
    return sorted(new_id() for _ in range(count))


def mixed(items: Sequence[_T]) -> list[_T]:
    """Return three or more items in an order that is neither theirs nor its reverse.

    The first of them is at neither end.
    """
    return [*items[1:-1:2], items[0], items[-1], *items[2:-1:2]]


async def store_in_order(
    connection: Connection, table: str, ids: Iterable[UUID], *, column: str = "id"
) -> None:
    """Write rows again, so that they stand in this order, behind all others."""
    for row_id in ids:
        await connection.execute(
            f"UPDATE {table} SET {column} = {column} WHERE {column} = $1",  # noqa: S608  (the test's own words)
            row_id,
        )


async def store_backwards(
    connection: Connection, table: str, ids: Iterable[UUID], *, column: str = "id"
) -> None:
    """Let rows stand in the reverse order of their ids, behind all others."""
    await store_in_order(connection, table, sorted(ids, reverse=True), column=column)


async def drop_indexes(connection: Connection, *tables: str) -> None:
    """Leave tables without an index or a key, so that an order is a statement's own."""
    for table in tables:
        for query, drop in (
            (
                "SELECT quote_ident(conname) FROM pg_constraint "
                "WHERE conrelid = $1::text::regclass AND contype IN ('p', 'u')",
                f"ALTER TABLE {table} DROP CONSTRAINT {{}} CASCADE",
            ),
            (
                "SELECT indexrelid::regclass::text FROM pg_index "
                "WHERE indrelid = $1::text::regclass",
                "DROP INDEX {}",
            ),
        ):
            for row in await connection.fetch(query, table):
                await connection.execute(drop.format(row[0]))


async def insert_row(connection: Connection, table: str, **values: object) -> None:
    """Write one row."""
    names = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await connection.execute(
        f"INSERT INTO {table} ({names}) VALUES ({places})",  # noqa: S608  (the test's own words)
        *values.values(),
    )


async def insert_event(
    connection: Connection,
    table: str,
    *,
    farmer: UUID,
    pooler: UUID,
    block: int,
    reason: str = "",
    **values: object,
) -> UUID:
    """Write an event of plant, work or harvest; it is a failure when there is a reason."""
    event_id, (time, own) = new_id(), _EVENTS[table]
    schema = table.partition(".")[0]
    await connection.execute(f"SELECT {schema}.ensure_partition($1)", block)
    common = {
        "id": event_id,
        "block_index": block,
        "farmer_id": farmer,
        "pooler_id": pooler,
        "custodial_wallet": f"G{farmer.hex}",
        "transaction_hash": "",
        "ledger": 103,
        "fee_charged": 0,
        "status": "failed" if reason else "success",
        "reason": reason,
        time: datetime.now(UTC),
    }
    await insert_row(connection, table, **{**common, **own, **values})
    return event_id
