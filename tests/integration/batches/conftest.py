"""What the three services ask alike is tested with each of them."""

from collections.abc import AsyncIterator

import pytest

from tests.support.batch_tables import SERVICES, Tables, open_tables
from tests.support.database import DatabaseAccess


@pytest.fixture(params=SERVICES, ids=lambda service: service.name)
async def tables(request: pytest.FixtureRequest, database: DatabaseAccess) -> AsyncIterator[Tables]:
    """A service's tables."""
    async with open_tables(request.param, database) as opened:
        yield opened
