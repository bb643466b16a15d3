"""A registry of its own for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.database import DatabaseAccess
from tests.support.registry_world import RegistryWorld, open_registry_world


@pytest.fixture
async def world(database: DatabaseAccess) -> AsyncIterator[RegistryWorld]:
    """On a fresh database."""
    async with open_registry_world(database) as running:
        yield running
