"""Who waits for operations gets each of them once, and one look serves all."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, cast

import pytest

from libs.common.errors import UnavailableError
from libs.common.ids import OperationId, new_id
from services.wallet.engine import settled_feed as results
from services.wallet.engine.settled_feed import SettledFeed
from services.wallet.engine.wakeup import Wakeup


class Settled:
    """An operation, as far as anybody here looks."""

    def __init__(self, operation_id: OperationId) -> None:
        self.id = operation_id


class Table:
    """Settled operations, and how often somebody looked."""

    def __init__(self) -> None:
        self.settled: list[OperationId] = []
        self.looks = 0
        self.away = False

    async def settled_among(self, ids: Iterable[OperationId]) -> list[Settled]:
        """As the store's."""
        self.looks += 1
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError("away")
        wanted = set(ids)
        return [Settled(item) for item in self.settled if item in wanted]


@pytest.fixture
def table() -> Table:
    """An empty one."""
    return Table()


@pytest.fixture
def wakeup() -> Wakeup:
    """Rings when something was settled."""
    return Wakeup()


@pytest.fixture
def waiting(table: Table, wakeup: Wakeup, monkeypatch: pytest.MonkeyPatch) -> SettledFeed:
    """What is tested; nobody looks unless it rings."""
    monkeypatch.setattr(results, "_POLL", 3600.0)
    return SettledFeed(cast("Any", table), wakeup)


async def collect(waiting: SettledFeed, ids: list[OperationId]) -> list[OperationId]:
    """Ids in the order in which they came."""
    return [item.id async for settled in waiting.of(ids) for item in settled]


async def soon(*calls: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
    """What calls return; none takes long."""
    async with asyncio.timeout(10):
        return await asyncio.gather(*calls, return_exceptions=return_exceptions)


async def settle(table: Table, wakeup: Wakeup, *ids: OperationId) -> None:
    """Time passes, then these are settled."""
    await asyncio.sleep(0.01)
    table.settled += ids
    wakeup.notify()


async def test_many_calls_share_one_look(
    table: Table, wakeup: Wakeup, waiting: SettledFeed
) -> None:
    ids = [OperationId(new_id()) for _ in range(60)]
    calls = [
        asyncio.create_task(collect(waiting, ids[start : start + 3])) for start in range(0, 60, 3)
    ]
    await settle(table, wakeup, *ids[:30])
    await asyncio.sleep(0.01)
    before = table.looks
    await settle(table, wakeup, *ids[30:])
    assert [sorted(found) for found in await soon(*calls)] == [
        sorted(ids[start : start + 3]) for start in range(0, 60, 3)
    ]
    assert table.looks == before + 1


async def test_what_two_wait_for_both_get_once(
    table: Table, wakeup: Wakeup, waiting: SettledFeed
) -> None:
    one, two = OperationId(new_id()), OperationId(new_id())
    table.settled.append(one)
    calls = [asyncio.create_task(collect(waiting, ids)) for ids in ([one, two], [two, two])]
    await settle(table, wakeup, two)
    await settle(table, wakeup)
    assert await soon(*calls) == [[one, two], [two]]
    # Nobody waits any more; the next one does not wait for a ring to begin.
    assert [item.id for item in await soon(waiting.one(one))] == [one]


async def test_an_outage_is_everybodys_and_passes(
    table: Table, wakeup: Wakeup, waiting: SettledFeed
) -> None:
    ids = [OperationId(new_id()) for _ in range(2)]
    calls = [asyncio.create_task(waiting.one(item)) for item in ids]
    await asyncio.sleep(0.01)
    table.away = True
    wakeup.notify()
    found = await soon(*calls, return_exceptions=True)
    assert [type(item) for item in found] == [UnavailableError, UnavailableError]
    table.away = False
    again = asyncio.create_task(waiting.one(ids[0]))
    await settle(table, wakeup, ids[0])
    assert [item.id for item in await soon(again)] == [ids[0]]


async def test_who_goes_away_is_forgotten(
    table: Table, wakeup: Wakeup, waiting: SettledFeed
) -> None:
    gone, stays = OperationId(new_id()), OperationId(new_id())
    call, other = (asyncio.create_task(waiting.one(item)) for item in (gone, stays))
    await asyncio.sleep(0.01)
    call.cancel()
    await soon(call, return_exceptions=True)
    await settle(table, wakeup, gone, stays)
    assert [item.id for item in await soon(other)] == [stays]
    assert waiting._waiting == {}


async def test_others_settle_too(
    table: Table, waiting: SettledFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process's work is found without a ring."""
    monkeypatch.setattr(results, "_POLL", 0.01)
    item = OperationId(new_id())
    call = asyncio.create_task(waiting.one(item))
    await asyncio.sleep(0.02)
    table.settled.append(item)
    async with asyncio.timeout(60):
        assert (await call).id == item


async def test_what_comes_later_comes_to_those_who_wait_and_once(
    table: Table, wakeup: Wakeup, waiting: SettledFeed
) -> None:
    ids = [OperationId(new_id()) for _ in range(3)]
    lists: list[list[OperationId]] = []

    async def follow() -> None:
        lists.extend([[item.id for item in settled] async for settled in waiting.of(ids)])

    call = asyncio.create_task(follow())
    await settle(table, wakeup, ids[0])
    await settle(table, wakeup, ids[1], ids[2])
    await soon(call)
    # Those that were settled together come in one list, and no list is empty.
    assert lists == [[ids[0]], [ids[1], ids[2]]]


async def test_another_process_is_looked_for_each_second() -> None:
    assert results._POLL == 1.0


async def test_one_look_at_a_time_however_many_wait(
    table: Table, wakeup: Wakeup, waiting: SettledFeed
) -> None:
    ids = [OperationId(new_id()) for _ in range(20)]
    calls = [asyncio.create_task(waiting.one(item)) for item in ids]
    await asyncio.sleep(0.01)
    looks = table.looks
    # Each looks once for itself, and one look is for all.
    assert looks == 21
    await settle(table, wakeup)
    await asyncio.sleep(0.01)
    assert table.looks == looks + 1
    await settle(table, wakeup, *ids)
    assert [item.id for item in await soon(*calls)] == ids
    await settle(table, wakeup)
    await asyncio.sleep(0.01)
    assert table.looks == looks + 2
