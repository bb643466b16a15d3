"""A localnet as a process, for clients that no one here wrote."""

from collections.abc import AsyncIterator

import pytest

from tests.support.localnet_process import Localnet, localnet_process


@pytest.fixture
async def localnet() -> AsyncIterator[Localnet]:
    """A fresh one."""
    async with localnet_process() as running:
        yield running
