"""One wallet process on one localnet for all tests of this folder that need the chain."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.db.pool import Database
from services.wallet.store import QUERIES
from tests.support.database import DatabaseAccess, DatabaseFactory, open_as
from tests.support.wallet_rows import WalletRows, open_wallet_rows
from tests.support.wallet_world import WalletWorld, open_wallet_world


@pytest.fixture(scope="session")
async def world(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    """Fast ledgers, short blocks."""
    logs: Path = tmp_path_factory.mktemp("wallet")
    async with (
        database_factory.create() as database,
        open_wallet_world(database, logs) as running,
    ):
        yield running


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[Database]:
    """The wallet's own connection pool."""
    async with open_as(database, "wallet", QUERIES, pool_size=10) as opened:
        yield opened


@pytest.fixture
async def rows(database: DatabaseAccess, pool: Database) -> AsyncIterator[WalletRows]:
    """Tables in which nothing has happened yet, whose rows come in no order by chance."""
    async with open_wallet_rows(database, pool) as opened:
        yield opened
