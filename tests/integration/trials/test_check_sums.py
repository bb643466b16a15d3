"""The check after a run tells of sums for reports that are not those of the records."""

from pathlib import Path

import pytest

import devstack.check
from libs.common.db.queries import load_queries
from tests.support.database import Connection, DatabaseAccess, connect
from tests.support.pool_world import PoolWorld
from tests.support.table_rows import insert_event

BLOCK = 41
ODD_SUMS = load_queries(Path(devstack.check.__file__).with_name("check.sql"))["odd_sums"].sql
#: A change of each sum, with what the check calls the sum.
CHANGES = {
    "UPDATE plant.block_sums SET planted = planted + 1": "farmers who planted",
    "UPDATE plant.block_sums SET staked = 0": "stroops planted",
    "UPDATE work.block_sums SET worked = 0": "farmers who worked",
    "UPDATE harvest.block_sums SET rewards = rewards + 1": "stroops paid, by block",
    "UPDATE harvest.block_sums SET harvested = 0": "farmers who were paid",
    "UPDATE plant.span_sums SET planted = 0": "farmers who planted, by hours of blocks",
    "UPDATE work.span_sums SET farmers_by_zeros = '{1}'": "farmers by zeros, by days of blocks",
    "DELETE FROM harvest.span_sums": "stroops paid, by days of blocks",
    "UPDATE harvest.pooler_earnings SET rewards = 1": "stroops paid to poolers' farmers, by hour",
    "DELETE FROM harvest.farmer_earnings WHERE span = 'day'": "stroops paid to farmers, by day",
    "DELETE FROM wallet.transactions": "stroops that the network was paid",
}


async def farm(connection: Connection) -> None:
    """A farmer with events of every kind, those that failed included, and a fee."""
    world = PoolWorld(connection)
    pooler = await world.pooler()
    farmer = (await world.farmer(pooler)).farmer_id
    for table in ("plant.plantings", "work.works", "harvest.harvests"):
        for block, reason in ((BLOCK, ""), (BLOCK + 1, ""), (BLOCK + 1, "EXPIRED")):
            await insert_event(
                connection, table, farmer=farmer, pooler=pooler, block=block, reason=reason
            )
    # A better work of the same farmer counts it once.
    await insert_event(connection, "work.works", farmer=farmer, pooler=pooler, block=BLOCK)
    await connection.execute(
        "INSERT INTO wallet.transactions (id, state, source, sequence, hash, lookup_hash, "
        "envelope, max_time, fee_bid, signed_ledger, ledger, fee_charged, closed_at) VALUES "
        "(gen_random_uuid(), 'failed', 'G', 1, 'a', 'b', 'c', 1, 9, 1, 1, 7, now())"
    )
    await connection.execute(
        "INSERT INTO wallet.fee_sums (span, starts_at, kind, stroops, charges) "
        "VALUES ('all', '2020-01-01 00:00Z', 'other', 7, 1), "
        "('day', '2020-01-01 00:00Z', 'other', 9, 1)"
    )


async def test_sums_that_are_right_are_not_told(database: DatabaseAccess) -> None:
    async with connect(database.admin_dsn) as connection:
        assert await connection.fetch(ODD_SUMS) == []
        await farm(connection)
        assert await connection.fetch(ODD_SUMS) == []


@pytest.mark.parametrize("change", CHANGES)
async def test_a_sum_that_is_wrong_is_told(database: DatabaseAccess, change: str) -> None:
    async with connect(database.admin_dsn) as connection:
        await farm(connection)
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(change)
        told = {row["what"]: (row["kept"], row["told"]) for row in await connection.fetch(ODD_SUMS)}
    assert CHANGES[change] in told
    kept, right = told[CHANGES[change]]
    assert kept != right
