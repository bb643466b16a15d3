"""The gauge of the event loop's longest turn."""

import asyncio
import time

from libs.common.turns import TurnWatch


async def watched(block: float) -> TurnWatch:
    """What was seen of an interval in which one turn took so long."""
    watch = TurnWatch()
    task = asyncio.create_task(watch.run(every=0.02, interval=0.6))
    await asyncio.sleep(0.1)
    time.sleep(block)  # noqa: ASYNC251
    async with asyncio.timeout(10):
        while not watch.longest:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    task.cancel()
    return watch


async def test_a_long_turn_is_seen() -> None:
    assert 0.45 < (await watched(0.5)).longest < 5


async def test_an_interval_forgets_the_one_before() -> None:
    watch = TurnWatch()
    task = asyncio.create_task(watch.run(every=0.02, interval=0.3))
    await asyncio.sleep(0.05)
    time.sleep(0.6)  # noqa: ASYNC251
    await asyncio.sleep(0.1)
    first = watch.longest
    await asyncio.sleep(0.8)
    task.cancel()
    assert first > 0.5 > watch.longest
