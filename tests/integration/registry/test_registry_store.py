"""registry's SQL against the real schema, and who may do what with its tables."""

import dataclasses
from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.common.db.queries import load_queries
from libs.common.ids import new_id
from services.registry.domain.model import Farmer, Pooler
from services.registry.store.store import QUERIES
from tests.support.database import Connection, DatabaseAccess, connect

READERS = ("wallet", "plant", "work", "harvest")
#: Queries whose rows become these classes.
ROWS = {
    "pooler": Pooler,
    "lock_pooler": Pooler,
    "list_poolers": Pooler,
    "farmer": Farmer,
    "list_farmers": Farmer,
}


@pytest.fixture
async def registry(database: DatabaseAccess) -> AsyncIterator[Connection]:
    """A connection as registry's own role."""
    async with connect(database.dsn("registry")) as connection:
        yield connection


async def test_every_query_fits_the_schema_and_its_dataclass(registry: Connection) -> None:
    for query in load_queries(*QUERIES).values():
        statement = await registry.prepare(query.sql)
        columns = [attribute.name for attribute in statement.get_attributes()]
        if query.name in ROWS:
            fields = [field.name for field in dataclasses.fields(ROWS[query.name])]
            assert columns == fields, query.name
        assert bool(columns) == (query.kind != "exec"), query.name


async def test_other_services_read_and_do_not_write(database: DatabaseAccess) -> None:
    for service in READERS:
        async with connect(database.dsn(service)) as connection:
            for table in ("poolers", "farmers"):
                assert await connection.fetch(f"SELECT * FROM registry.{table}") == []  # noqa: S608
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"UPDATE registry.{table} SET id = id")  # noqa: S608
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch("SELECT * FROM registry.requests")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM registry.farmers",
        "DELETE FROM registry.poolers",
        "UPDATE registry.farmers SET request_id = ''",
        "UPDATE registry.farmers SET pooler_id = gen_random_uuid()",
        "UPDATE registry.farmers SET id = gen_random_uuid()",
        "UPDATE registry.poolers SET public_key = ''",
        "DO $$ BEGIN LOCK TABLE registry.farmers IN ACCESS EXCLUSIVE MODE; END $$",
        "UPDATE registry.requests SET method = ''",
        "SELECT * FROM wallet.sealed_keys",
        "SELECT * FROM wallet.wallets FOR UPDATE",
        "UPDATE harvest.balances SET current_balance = 0",
        "CREATE TABLE registry.more (id int)",
    ],
)
async def test_registry_may_not(registry: Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await registry.execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        "stake_percentage = 1.0001",
        "stake_percentage = -0.0001",
        "status = 'active'",
        "custodial_public_key = 'G'",
    ],
)
async def test_the_database_keeps_a_farmer_sound(registry: Connection, change: str) -> None:
    pooler_id = new_id()
    await registry.execute(
        "INSERT INTO registry.poolers (id, name, public_key, max_farmers) VALUES ($1, '', 'G', 1)",
        pooler_id,
    )
    await registry.execute(
        "INSERT INTO registry.farmers (id, pooler_id, request_id, digest) VALUES ($1, $2, '', '')",
        new_id(),
        pooler_id,
    )
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await registry.execute(f"UPDATE registry.farmers SET {change}")  # noqa: S608
    with pytest.raises(asyncpg.CheckViolationError):
        await registry.execute("UPDATE registry.poolers SET current_farmers = 2")


async def test_an_event_of_another_service_does_not_wait_for_a_registration(
    database: DatabaseAccess, registry: Connection
) -> None:
    queries = load_queries(*QUERIES)
    pooler_id, farmer_id = new_id(), new_id()
    await registry.execute(
        "INSERT INTO registry.poolers (id, name, public_key, max_farmers) VALUES ($1, '', 'G', 2)",
        pooler_id,
    )
    async with connect(database.admin_dsn) as other, registry.transaction():
        await registry.execute(queries["lock_pooler"].sql, pooler_id)
        await other.execute("SET lock_timeout = '1s'")
        # Takes the key lock on the pooler's row that a foreign key takes.
        await other.execute(
            "INSERT INTO registry.farmers (id, pooler_id, request_id, digest) "
            "VALUES ($1, $2, '', '')",
            farmer_id,
            pooler_id,
        )
        # A second registration does wait.
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.execute(queries["lock_pooler"].sql, pooler_id)
