"""A registry of its own for each test, and a receiver of its webhooks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.webhook_receiver import Receiver, open_receiver
from tests.support.database import DatabaseAccess
from tests.support.registry_world import RegistryWorld, open_registry_world
from tests.support.webhooks import KEY


@pytest.fixture
async def world(database: DatabaseAccess) -> AsyncIterator[RegistryWorld]:
    """On a fresh database."""
    async with open_registry_world(database) as running:
        yield running


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a key of webhooks' secrets."""
    path = tmp_path / "webhook_key"
    path.write_text(KEY)
    return path


@pytest.fixture
async def hooked(database: DatabaseAccess, key_file: Path) -> AsyncIterator[RegistryWorld]:
    """A registry that sends to this machine."""
    async with open_registry_world(
        database, webhook_key_file=key_file, webhooks_allow_private=True
    ) as world:
        yield world


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    """A receiver in a process of its own."""
    async with open_receiver(tmp_path / "receiver") as running:
        yield running
