"""Attempts that start one after the other, and end in any order."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from services.wallet.chain.node.race import in_turn

Attempt = Callable[[], Awaitable[str]]


class Runs:
    """Attempts by name: what started and what was called off."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.cancelled: list[str] = []

    def quick(self, name: str) -> Attempt:
        """It ends at once."""
        return lambda: self._run(name, endless=False)

    def endless(self, name: str) -> Attempt:
        """It never ends by itself."""
        return lambda: self._run(name, endless=True)

    async def _run(self, name: str, *, endless: bool) -> str:
        self.started.append(name)
        try:
            if endless:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            # Whoever calls it off has to wait until it has ended.
            await asyncio.sleep(0)
            self.cancelled.append(name)
            raise
        return name


async def first(starts: list[Attempt], count: int, patience: float) -> list[str]:
    """The results of the attempts that end first."""
    found: list[str] = []
    async with asyncio.timeout(20), aclosing(in_turn(starts, patience=patience)) as attempts:
        async for attempt in attempts:
            found.append(attempt.result())
            if len(found) == count:
                break
    return found


async def test_the_next_starts_when_one_has_ended_and_more_are_wanted() -> None:
    runs = Runs()
    starts = [runs.quick(name) for name in "abc"]
    assert await first(starts, 1, 60) == ["a"]
    assert runs.started == ["a"]
    runs.started.clear()
    assert await first(starts, 9, 60) == ["a", "b", "c"]
    assert (runs.started, runs.cancelled) == (["a", "b", "c"], [])


async def test_the_next_starts_when_one_takes_long_and_that_one_is_called_off() -> None:
    runs = Runs()
    assert await first([runs.endless("a"), runs.quick("b"), runs.quick("c")], 1, 0.01) == ["b"]
    assert (runs.started, runs.cancelled) == (["a", "b"], ["a"])


async def test_the_last_one_is_waited_for() -> None:
    runs = Runs()

    async def slow() -> str:
        await asyncio.sleep(0.05)
        return "slow"

    assert await first([slow], 9, 0.001) == ["slow"]
    assert await first([runs.quick("a"), slow], 9, 0.001) == ["a", "slow"]


async def test_nothing_runs_where_nothing_is_to_be_tried() -> None:
    assert await first([], 1, 1) == []


async def test_an_error_is_the_attempts_own() -> None:
    async def failing() -> str:
        raise KeyError("no")

    async with aclosing(in_turn([failing], patience=1)) as attempts:
        async for attempt in attempts:
            with pytest.raises(KeyError):
                attempt.result()
