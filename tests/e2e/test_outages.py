"""What everybody stands on goes away within a block, and comes back: the end is the same."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from devstack.stack import Stack, StackConfig
from tests.support.breaking import farm_while

pytestmark = pytest.mark.e2e

#: Seconds between two outages.
BETWEEN = 3.0
#: Seconds that a hung process does nothing: longer than a health check, shorter than a block.
HUNG = 5.0


async def crash_postgres(stack: Stack) -> None:
    """It ends at once, and recovers from its log."""
    await stack.restart_postgres(number=signal.SIGQUIT)


async def restart_postgres(stack: Stack) -> None:
    """It ends all sessions first."""
    await stack.restart_postgres(number=signal.SIGINT)


async def hang_wallet(stack: Stack) -> None:
    """Its connections stay, and nothing comes over them."""
    async with stack.hung("wallet"):
        await asyncio.sleep(HUNG)


async def hang_localnet(stack: Stack) -> None:
    """The Stellar node does not answer."""
    async with stack.hung("localnet"):
        await asyncio.sleep(HUNG)


@pytest.mark.parametrize("outage", [crash_postgres, restart_postgres, hang_wallet, hang_localnet])
async def test_an_outage_does_not_change_the_end(
    outage: Callable[[Stack], Awaitable[None]], tmp_path: Path
) -> None:
    # The first block begins with the localnet: on a slow machine the outage still ends within it.
    config = StackConfig(directory=tmp_path / "stack", ledger_seconds=0.5, block_seconds=24)
    assert await farm_while(config, outage, every=BETWEEN) >= 2
