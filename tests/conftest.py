"""Fixtures that all tests share; importable helpers are in tests/support."""

from collections.abc import AsyncIterator, Iterator

import pytest

from devstack.postgres import EmbeddedPostgres
from tests.support.database import DatabaseAccess, DatabaseFactory


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Run this worker's PostgreSQL server, which starts when the first test asks for it."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture(scope="session")
async def database_factory(postgres: EmbeddedPostgres) -> DatabaseFactory:
    """Return a factory for further databases besides `database`, or for a wider scope."""
    factory = DatabaseFactory(postgres)
    await factory.make_template()
    return factory


@pytest.fixture
async def database(database_factory: DatabaseFactory) -> AsyncIterator[DatabaseAccess]:
    """Make a fresh database with all services' schemas and roles, for one test."""
    async with database_factory.create() as access:
        yield access
