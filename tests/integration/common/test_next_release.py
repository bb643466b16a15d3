"""Releases side by side: the next one's migrations add columns while this one runs."""

import importlib

import pytest

from libs.common.db.queries import load_queries
from libs.common.names import SERVICES
from tests.support.database import Connection, DatabaseAccess, connect

#: Tables of the pool, but partitions, which have the columns of their table.
TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class AS c INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY($1)
ORDER BY name
"""


async def columns(connection: Connection, service: str) -> dict[str, list[str]]:
    """Return the columns that each query of a service answers with."""
    module = "services.wallet.store" if service == "wallet" else f"services.{service}.store.store"
    queries = load_queries(*importlib.import_module(module).QUERIES)
    found = {}
    for query in queries.values():
        statement = await connection.prepare(query.sql)
        found[query.name] = [one.name for one in statement.get_attributes()]
    return found


@pytest.mark.parametrize("service", SERVICES)
async def test_a_column_more_in_every_table_changes_no_answer(
    database: DatabaseAccess, service: str
) -> None:
    async with connect(database.dsn(service)) as connection:
        before = await columns(connection, service)
    async with connect(database.admin_dsn) as admin:
        tables = [row["name"] for row in await admin.fetch(TABLES, [*SERVICES, "chain"])]
        assert "chain.blocks" in tables
        for name in tables:
            await admin.execute(f"ALTER TABLE {name} ADD COLUMN of_the_next_release int")
    async with connect(database.dsn(service)) as connection:
        assert await columns(connection, service) == before
