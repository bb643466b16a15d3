"""A run in which a whole pool farms a block while something is broken again and again."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from devstack.farming import farm
from devstack.stack import Stack, StackConfig, open_stack
from pooler.report import TextReport

#: Seconds within which a block must be farmed.
PATIENCE = 240.0


async def farm_while(
    config: StackConfig, break_once: Callable[[Stack], Awaitable[None]], *, every: float
) -> int:
    """Farm one block for three farmers; break something every `every` seconds.

    Nothing is broken any more once records and chain are compared: who is killed every few seconds
    never gets to book what came from outside. Return how often something was broken.
    """
    breaks, is_compared = 0, asyncio.Event()

    def progress(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        if text.startswith("comparing"):
            is_compared.set()

    async with open_stack(config) as stack:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            farming = group.create_task(farm(stack, 3, 1, TextReport(), progress))
            while not (await asyncio.wait({farming}, timeout=every))[0]:
                if not is_compared.is_set():
                    await break_once(stack)
                    breaks += 1
        stack.check()
    result = farming.result()
    assert result.verdict.equal, result.verdict.differences
    assert result.run.planted >= 3
    assert result.run.harvested >= 3
    return breaks
