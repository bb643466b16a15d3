"""What tests of the command share."""

from collections.abc import AsyncIterator

import pytest

from tests.support.recorder import Recorder, open_recorder


@pytest.fixture
async def recorder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorder]:
    """A recorder that all five targets point at."""
    async with open_recorder(monkeypatch) as running:
        yield running
