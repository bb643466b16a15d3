"""Whether a breakage has struck while its phase was under way: it says so itself, or the node."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, cast

import pytest

from trials.faults import breakage as b
from trials.faults import payouts
from trials.faults.payouts import begin_in_turn
from trials.faults.run import _under_attack
from trials.faults.scenarios import Scenario


class Stack:
    """Processes that can be hung and restarted."""

    def __init__(self) -> None:
        self.is_hung = False

    @asynccontextmanager
    async def hung(self, _name: str) -> AsyncIterator[None]:
        self.is_hung = True
        yield
        self.is_hung = False

    async def restart(self, _name: str) -> None:
        """Done at once."""

    async def restart_postgres(self, *, number: int) -> None:
        """Done at once, whatever the signal."""


class Disk:
    """Says nothing about what PostgreSQL makes of it."""

    def fill(self) -> None:
        """Done."""

    def free(self) -> None:
        """Done."""


class Records:
    """Ledgers that have taken something, before and after a call."""

    def __init__(self) -> None:
        self.ledgers = [3, 3]

    async def count(self, _name: str) -> int:
        return self.ledgers.pop(0)


class World:
    """What an arena has of it."""

    def __init__(self) -> None:
        self.stack = Stack()


class Arena:
    """Counts what is done to it."""

    def __init__(self) -> None:
        self.world = World()
        self.kills = 7
        self.random = Random(1)
        self.wallets = ["wallet"]
        self.used: dict[str, int] = {}
        self.disk = Disk()
        self.records = Records()
        self.is_full = False

    async def misbehave(self, **_faults: Any) -> None:
        """The test says what came of it."""

    async def behave(self) -> None:
        """Nothing was wrong."""

    async def mend(self) -> None:
        """Nothing is broken."""

    async def misdeeds(self) -> Mapping[str, int]:
        return self.used

    async def forget_history(self) -> None:
        assert self.world.stack.is_hung, "the wallet reads what is to be forgotten"

    async def cut_connections(self, _role: str) -> int:
        return 2

    async def refuses_writes(self) -> bool:
        return self.is_full

    async def kill(self, _name: str, *, number: signal.Signals = signal.SIGKILL) -> None:
        self.kills += number > 0


async def strikes(breakage: b.Breakage, arena: Arena, *, seconds: float) -> int:
    """How often a call of this length was struck."""
    scenario = Scenario(name="row", breakage=breakage)
    error, count = await _under_attack(cast(Any, arena), scenario, asyncio.sleep(seconds))
    assert error == ""
    return count


LATE: dict[str, b.Breakage] = {
    "hangs": b.frozen("wallet", 0.01, 0.1),
    "restarts": b.restarted_node(0.1),
    "forgets": b.forgotten_history(0.1),
}


@pytest.mark.parametrize("name", LATE)
async def test_what_comes_after_the_phase_was_through_has_not_struck(name: str) -> None:
    assert await strikes(LATE[name], Arena(), seconds=0) == 0
    assert await strikes(LATE[name], Arena(), seconds=0.3) == 1


@pytest.mark.parametrize(
    "breakage",
    [
        b.random_kills(1, first=0.01, life=1),
        b.ended("wallet", signal.SIGTERM),
        b.ended_postgres(signal.SIGINT),
        b.cut_database("wallet", 9),
        b.nothing(),
    ],
)
async def test_what_comes_in_time_has_struck(breakage: b.Breakage) -> None:
    assert await strikes(breakage, Arena(), seconds=0.2) > 0


async def test_a_full_disk_has_struck_when_postgres_can_write_no_more() -> None:
    arena = Arena()
    assert await strikes(b.full_disk(), arena, seconds=0.05) == 0
    arena.is_full = True
    assert await strikes(b.full_disk(), arena, seconds=0.05) == 1


@pytest.mark.parametrize(("after", "waited"), [(3, 0), (4, 0), (6, 2)])
async def test_a_crowd_has_struck_when_one_ledger_did_not_take_all(after: int, waited: int) -> None:
    arena = Arena()
    arena.records.ledgers = [3, after]
    assert await strikes(b.crowd(), arena, seconds=0) == waited


async def test_the_node_says_what_it_did() -> None:
    """All that it was told to do, not only the easier half."""
    arena, torn = Arena(), b.node(read_gap=0.6, drops={"sendTransaction": 5})
    assert await strikes(torn, arena, seconds=0) == 0
    arena.used = {"drops": 3}
    assert await strikes(torn, arena, seconds=0) == 0
    arena.used = {"drops": 3, "read_gap": 2}
    assert await strikes(torn, arena, seconds=0) == 2
    arena.used = {"stale": 4}
    assert await strikes(b.stale_replica(1, after=0), arena, seconds=0) == 4


async def test_calls_in_turn_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payouts, "APART", 0.02)
    seen: list[str] = []
    second_begins = asyncio.Event()

    async def first() -> None:
        seen.append("first begins")
        await second_begins.wait()
        seen.append("first ends")

    async def second() -> None:
        seen.append("second begins")
        second_begins.set()

    await begin_in_turn([first(), second()])
    assert seen == ["first begins", "second begins", "first ends"]


async def test_a_call_in_turn_that_fails_is_told_in_words() -> None:
    async def fail() -> None:
        raise ValueError("no")

    scenario = Scenario(name="row", breakage=b.nothing())
    error, _ = await _under_attack(cast(Any, Arena()), scenario, begin_in_turn([fail()]))
    assert error == "ValueError: no"
