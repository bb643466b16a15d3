"""Roots are of days that have begun, by the database's clock."""

import asyncpg
import pytest

from libs.common.db.queries import load_queries
from libs.common.ids import new_id
from libs.kale.statements.roots import day_number
from services.wallet.store import QUERIES
from tests.support.database import DatabaseAccess, connect

#: Half a second before a day is over, in SQL.
LATE = "timestamptz '2026-01-31 23:59:59.7+00'"
DAY = day_number("2026-01-31")


async def test_a_day_runs_until_it_is_over(database: DatabaseAccess) -> None:
    query = load_queries(*QUERIES)["next_data_entry"]
    async with connect(database.admin_dsn) as admin:
        found = await admin.fetchrow(query.sql.replace("now()", LATE))
        assert found is not None
        assert found["today"] == DAY
        source = await admin.fetchval(
            "SELECT pg_get_functiondef('wallet.refuse_odd_data_entry()'::regprocedure)"
        )
        insert = "INSERT INTO wallet.data_entries (operation_id, day, root) VALUES ($1, $2, $3)"
        expected = {
            DAY + 1: asyncpg.CheckViolationError,
            # Nothing but its operation is missing.
            DAY: asyncpg.ForeignKeyViolationError,
        }
        for day, error in expected.items():
            change = admin.transaction()
            await change.start()
            await admin.execute(source.replace("now()", LATE))
            with pytest.raises(error):
                await admin.execute(insert, new_id(), day, bytes(32))
            await change.rollback()
