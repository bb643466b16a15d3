"""registry's loops: what keeps them going, and whom an outage makes gone."""

import asyncio
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.errors import UnavailableError
from services.registry import loops
from services.registry.usecases.deliveries import Bell
from tests.support.sleeping import replace_sleep

#: Six looks.
GONE_AFTER = 12.0


class World:
    """A registry whose clock goes with its pauses, and whose database is there as a script says."""

    def __init__(self, up: Sequence[bool], monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        #: When poolers were looked for.
        self.looked: list[float] = []
        self._up: Iterator[bool] = iter(up)
        database = SimpleNamespace(is_up=self._is_up)
        self.registry = SimpleNamespace(
            store=SimpleNamespace(database=database, mark_gone=self._mark_gone)
        )
        monkeypatch.setattr("services.registry.loops.time.monotonic", lambda: self.now)
        replace_sleep(monkeypatch, "services.registry.loops", self._sleep)

    async def _is_up(self) -> bool:
        found = next(self._up, None)
        if found is None:
            raise asyncio.CancelledError
        return found

    async def _mark_gone(self, seconds: float) -> int:
        assert seconds == GONE_AFTER
        self.looked.append(self.now)
        return 0

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds

    async def run(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await loops.watch_poolers(cast("Any", self.registry), Bell(), gone_after=GONE_AFTER)


async def test_every_pooler_has_all_of_its_time_after_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World([True] * 9, monkeypatch)
    await world.run()
    assert world.looked == [12.0, 14.0, 16.0]


async def test_heartbeats_that_nobody_could_note_make_no_pooler_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World([True] * 7 + [False] * 3 + [True] * 8, monkeypatch)
    await world.run()
    # The last look without a database was at 18 s.
    assert world.looked == [12.0, 30.0, 32.0, 34.0]


async def test_a_loop_outlives_whatever_happens_to_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    world, errors = World([], monkeypatch), 0

    async def step() -> None:
        nonlocal errors
        errors += 1
        if errors == 4:
            raise asyncio.CancelledError
        raise (UnavailableError("away"), ValueError("defect"), UnavailableError("away"))[errors - 1]

    with pytest.raises(asyncio.CancelledError):
        await loops.repeat("test", step, pause=0)
    # Never at once, though the loop itself has no pause.
    assert world.now == 3 * loops.LOOK
