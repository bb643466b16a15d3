"""One timer for all calls: each ends at its own time, as with asyncio.timeout."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from libs.common.grpc.alarm import Alarm, Limited


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


class Clock:
    """An event loop's clock, with the timers that are set on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        #: When each timer that is set fires, with what it does.
        self.timers: dict[float, Callable[[], None]] = {}
        monkeypatch.setattr("libs.common.grpc.alarm.asyncio.get_running_loop", lambda: self)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, ring: Callable[[], None]) -> "Timer":
        assert when not in self.timers
        self.timers[when] = ring
        return Timer(self, when)

    def fire(self, when: float, *, at: float) -> None:
        """Fire a timer at another moment than it was set for."""
        self.now = at
        self.timers.pop(when)()


class Timer:
    """A timer that can be cancelled."""

    def __init__(self, clock: Clock, when: float) -> None:
        self._clock, self._when = clock, when

    def cancel(self) -> None:
        del self._clock.timers[self._when]


class Block:
    """A block that notes its end."""

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.ends = 0

    def end(self) -> None:
        self.ends += 1


def blocks_in(alarm: Alarm, *ends: float) -> list[Block]:
    """Blocks that the alarm is to end."""
    blocks = [Block(moment) for moment in ends]
    for block in blocks:
        alarm.add(cast("Limited", cast("Any", block)))
    return blocks


def test_one_timer_is_set_for_the_block_that_ends_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, alarm = Clock(monkeypatch), Alarm()
    first, last, middle = blocks_in(alarm, 5.0, 9.0, 7.0)
    assert list(clock.timers) == [5.0]
    clock.fire(5.0, at=5.0)
    assert [block.ends for block in (first, middle, last)] == [1, 0, 0]
    # Who has been told needs no second call, whenever it is over.
    assert list(clock.timers) == [7.0]
    blocks_in(alarm, 6.0)
    assert list(clock.timers) == [6.0]
    clock.fire(6.0, at=9.0)
    assert [block.ends for block in (first, middle, last)] == [1, 1, 1]
    assert clock.timers == {}


def test_a_timer_may_fire_a_millisecond_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, alarm = Clock(monkeypatch), Alarm()
    (block,) = blocks_in(alarm, 0.001)
    clock.fire(0.001, at=0.0)
    assert block.ends == 1
    (block,) = blocks_in(alarm, 0.0015)
    clock.fire(0.0015, at=0.0)
    assert block.ends == 0
    # It is set again, for the same moment.
    clock.fire(0.0015, at=0.0015)
    assert block.ends == 1


def test_nothing_is_set_for_blocks_that_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, alarm = Clock(monkeypatch), Alarm()
    first, other = blocks_in(alarm, 5.0, 9.0)
    for block in (first, other):
        alarm.remove(cast("Limited", cast("Any", block)))
    clock.fire(5.0, at=5.0)
    assert (first.ends, other.ends, clock.timers) == (0, 0, {})
