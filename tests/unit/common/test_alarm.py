"""One timer for all calls: each ends at its own time, as with asyncio.timeout."""

import asyncio
import time

import pytest

from libs.common.grpc.alarm import Alarm


async def wait(alarm: Alarm, limit: float | None, seconds: float) -> float:
    """Sleeps under a limit; the seconds until it was over. TimeoutError."""
    began = time.monotonic()
    try:
        with alarm.within(limit):
            await asyncio.sleep(seconds)
    except TimeoutError:
        raise TimeoutError(time.monotonic() - began) from None
    return time.monotonic() - began


async def test_each_ends_at_its_own_time_whatever_the_order() -> None:
    alarm = Alarm()
    limits = [0.3, 0.1, 0.2, 0.1, 60.0]
    ended = await asyncio.gather(
        *(wait(alarm, limit, 30.0 if limit < 1 else 0.4) for limit in limits),
        return_exceptions=True,
    )
    late = [one.args[0] for one in ended if isinstance(one, TimeoutError)]
    assert len(late) == len(limits) - 1
    for seconds, limit in zip(late, limits, strict=False):
        # Never before its time, but for uvloop's milliseconds; a busy machine may be late.
        assert limit - 0.01 < seconds < limit + 5
    assert isinstance(ended[-1], float)


async def test_what_is_in_time_or_has_none_is_left_alone() -> None:
    alarm = Alarm()
    assert await wait(alarm, 0.1, 0.0) >= 0
    assert await wait(alarm, None, 0.15) >= 0.14
    # The timer of the first one has rung for nothing; the next one has its own.
    with pytest.raises(TimeoutError):
        await wait(alarm, 0.05, 1.0)


@pytest.mark.parametrize("limit", [0.0, -1.0])
async def test_whose_time_is_over_before_it_begins_ends_where_it_waits(limit: float) -> None:
    with pytest.raises(TimeoutError):
        await wait(Alarm(), limit, 1.0)


async def test_who_is_cancelled_is_cancelled_and_not_late() -> None:
    alarm = Alarm()
    task = asyncio.create_task(wait(alarm, 0.2, 1.0))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), Alarm().within(1.0):
        raise ZeroDivisionError


async def test_a_late_task_may_go_on_with_something_else() -> None:
    alarm = Alarm()

    async def work() -> int:
        with pytest.raises(TimeoutError):
            await wait(alarm, 0.05, 1.0)
        await asyncio.sleep(0)
        task = asyncio.current_task()
        return task.cancelling() if task is not None else -1

    assert await asyncio.create_task(work()) == 0
