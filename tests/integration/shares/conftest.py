"""A door for miners for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.share_world import ShareWorld, open_share_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ShareWorld]:
    """A door, a block with five farmers, and a clock that stands still."""
    async with open_share_world(tmp_path) as opened:
        yield opened
