"""A gateway of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway_world import GatewayWorld, open_gateway_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    """Before services that answer as the test says."""
    async with open_gateway_world(tmp_path) as running:
        yield running
