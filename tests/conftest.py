"""Fixtures that all tests share; importable helpers are in tests/support."""

import gc
import signal
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from devstack.postgres import EmbeddedPostgres
from tests.support.database import DatabaseAccess, DatabaseFactory, Server, server_folder
from tests.support.standing import StandingServer, standing_server

# An example may take as long as a busy machine needs.
settings.register_profile(
    "any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage: all of it stays, and no test has it looked at again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_configure() -> None:
    """Let SIGINT reach the processes that tests start.

    A shell that starts the tests in the background has them ignore it, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_profiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the profiles of whoever runs the tests out of them, and the tests' out of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KALEPOOL_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        for name in ("KALEPOOL_PROFILE", "KALEPOOL_TOKEN_FILE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run this worker's PostgreSQL server, which starts when the first test asks for it."""
    standing = standing_server()
    if standing is not None:
        yield standing
        return
    with (
        server_folder(tmp_path_factory.mktemp("postgres")) as folder,
        EmbeddedPostgres(folder, durable=False) as server,
    ):
        yield server


@pytest.fixture(scope="session")
async def database_factory(postgres: Server) -> DatabaseFactory:
    """Return a factory for further databases besides `database`, or for a wider scope."""
    if isinstance(postgres, StandingServer):
        return DatabaseFactory(postgres, postgres.role_passwords)
    factory = DatabaseFactory(postgres)
    await factory.make_template()
    return factory


@pytest.fixture
async def database(database_factory: DatabaseFactory) -> AsyncIterator[DatabaseAccess]:
    """Make a fresh database with all services' schemas and roles, for one test."""
    async with database_factory.create() as access:
        yield access
