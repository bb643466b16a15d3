"""The fixture `database`: fresh, migrated, and every role logs in as itself."""

import asyncpg
import pytest

from libs.common.names import SERVICES
from services.migrations import role_of
from tests.support.database import DatabaseAccess, DatabaseFactory, connect


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_logs_in_with_its_own_role(
    database: DatabaseAccess, service: str
) -> None:
    async with connect(database.dsn(service)) as connection:
        assert await connection.fetchval("SELECT current_user::text") == role_of(service)


async def test_all_schemas_are_there(database: DatabaseAccess) -> None:
    async with connect(database.admin_dsn) as connection:
        found = await connection.fetch("SELECT nspname::text AS name FROM pg_namespace")
    assert set(SERVICES) <= {row["name"] for row in found}


async def test_a_wrong_password_is_refused(database: DatabaseAccess) -> None:
    wrong = database.dsn("wallet").replace("kalepool_wallet:", "kalepool_wallet:x")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


async def test_databases_do_not_see_each_other(database_factory: DatabaseFactory) -> None:
    async with database_factory.create() as one, database_factory.create() as other:
        async with connect(one.admin_dsn) as connection:
            await connection.execute("CREATE TABLE only_here (id int)")
        async with connect(other.admin_dsn) as connection:
            assert await connection.fetchval("SELECT to_regclass('only_here')") is None


async def test_a_database_is_dropped_although_a_connection_is_open(
    database_factory: DatabaseFactory,
) -> None:
    async with database_factory.create() as access:
        forgotten = await asyncpg.connect(access.admin_dsn)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await forgotten.fetchval("SELECT 1")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(access.admin_dsn)
