"""Streams of events: a job at once, with each block, and whatever else a miner has to hear."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.stand_in_pooler import block_of
from libs.common.errors import UnavailableError
from pooler.shares.upkeep import Upkeep
from tests.support.share_world import Rig, ShareWorld, found_in, open_share_world


class Events:
    """The events of one stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str, Any]:
        """Return the next event: its name and its data."""
        name = ""
        async with asyncio.timeout(20):
            async for line in self._lines:
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                if line.startswith("data: "):
                    return name, json.loads(line.removeprefix("data: "))
        raise AssertionError("the stream has ended")

    async def rest(self) -> list[str]:
        """Return the names of events until the stream ends."""
        async with asyncio.timeout(20):
            lines = [line async for line in self._lines]
        return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]


@asynccontextmanager
async def events(rig: Rig, **query: Any) -> AsyncIterator[Events]:
    """Read the stream of a miner."""
    async with rig.http.stream(
        "GET", "/events", headers=rig.headers, params=query, timeout=30
    ) as response:
        yield Events(response)


async def test_a_job_comes_at_once_and_with_each_block(world: ShareWorld) -> None:
    rig = await world.join()
    async with events(rig, worker="a", difficulty=16) as stream:
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        name, data = await stream.next()
        assert (name, data["jobs"][0]["block"]) == ("job", 100)
        assert await rig.codes(*found_in(data["jobs"][0], 1)) == ["ACCEPTED"]
        await world.shares.works_sent(100)
        assert await stream.next() == ("works-sent", {"block": 100})
        await world.next_block()
        name, data = await stream.next()
        assert (name, data["jobs"][0]["block"]) == ("job", 101)
        assert await rig.codes(*found_in(data["jobs"][0], 1)) == ["ACCEPTED"]
        await world.shares.harvested(100, 1600)
        assert await stream.next() == ("part", {"block": 100, "points": "16", "amount": "160"})
    assert len(world.shares.streams) <= 1


async def test_a_new_blocks_job_does_not_wait_for_the_disk_and_its_shares_do(
    world: ShareWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await world.join()
    may_write, write = asyncio.Event(), world.shares.store.open_block

    async def slow(*given: Any, **named: Any) -> Any:
        await may_write.wait()
        return await write(*given, **named)

    monkeypatch.setattr(world.shares.store, "open_block", slow)
    async with events(rig, worker="a", difficulty=16) as stream:
        await stream.next()
        opening = asyncio.create_task(world.next_block())
        _, data = await stream.next()
        assert data["jobs"][0]["block"] == 101
        bringing = asyncio.create_task(rig.codes(*found_in(data["jobs"][0], 2)))
        done, _ = await asyncio.wait({bringing, opening}, timeout=0.3)
        assert done == set()
        may_write.set()
        assert await bringing == ["ACCEPTED", "ACCEPTED"]
        await opening


async def test_a_block_that_cannot_be_written_credits_nothing_until_it_is(
    world: ShareWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await world.join()

    async def away(*_: object, **__: object) -> Any:
        raise UnavailableError("away", reason="DATABASE_UNAVAILABLE", retry_after=1.0)

    with monkeypatch.context() as patch:
        patch.setattr(world.shares.store, "open_block", away)
        with pytest.raises(UnavailableError):
            await world.next_block()
        shares = found_in(await rig.job(), 2)
        answer = await rig.post("/submit", json={"shares": shares})
        assert (answer.status_code, answer.json()["reason"]) == (503, "DATABASE_UNAVAILABLE")
    await world.shares.open_block(world.block)
    assert await rig.codes(*shares) == ["ACCEPTED", "ACCEPTED"]


async def test_a_stream_may_have_several_jobs_at_a_time(world: ShareWorld) -> None:
    async with events(await world.join(), count=5) as stream:
        _, data = await stream.next()
        assert len({job["farmer"] for job in data["jobs"]}) == 5


async def test_a_miner_who_comes_between_blocks_waits_for_the_next_one(world: ShareWorld) -> None:
    await world.shares.works_sent(100)
    async with events(await world.join()) as stream:
        await world.next_block()
        name, data = await stream.next()
        assert (name, data["jobs"][0]["block"]) == ("job", 101)


async def test_who_is_silent_gets_an_easier_job(world: ShareWorld) -> None:
    rig = await world.join()
    async with events(rig, worker="slow", rate=10**9) as stream:
        _, data = await stream.next()
        world.clock.now += 61
        await Upkeep(world.shares)._round(1)
        _, easier = await stream.next()
        hard, easy = (int(one["jobs"][0]["difficulty"]) for one in (data, easier))
        assert hard == pytest.approx(4 * easy, rel=0.01)


async def test_a_worker_that_goes_away_is_told_once(world: ShareWorld) -> None:
    rig = await world.join()
    upkeep = Upkeep(world.shares)
    async with events(rig, worker="watch") as stream:
        await stream.next()
        await rig.submit(*found_in(await rig.job("gone"), 1))
        await rig.job("never")
        world.clock.now += 601
        for number in (1, 2):
            await upkeep._round(number)
        told = [await stream.next() for _ in range(2)]
        # The watching worker is silent as well, and gets an easier job.
        gone = {"worker": "gone", "newestShareAt": "2026-01-31T12:00:00.000Z"}
        assert ("worker-gone", gone) in told
        workers = {one["worker"]: one for one in (await rig.get("/stats")).json()["workers"]}
        assert [workers[name]["isGone"] for name in ("gone", "never", "watch")] == [
            *(True, False, False)
        ]
        await rig.submit(*found_in(await rig.job("gone"), 1, skip=1))
        back = {one["worker"]: one for one in (await rig.get("/stats")).json()["workers"]}
        assert not back["gone"]["isGone"]


async def test_a_ban_ends_the_stream(world: ShareWorld) -> None:
    rig, other = await world.join(), await world.join()
    miner = await world.shares.accounts.of_credential(rig.credential)
    async with events(rig) as stream, events(other) as theirs:
        await stream.next()
        await theirs.next()
        await world.shares.ban(miner, seconds=60, why="x")
        name, data = await stream.next()
        assert (name, data["why"]) == ("ban", "x")
        name, data = await stream.next()
        assert (name, data["reason"]) == ("error", "BANNED")
        assert await stream.rest() == []
        await world.next_block()
        assert (await theirs.next())[0] == "job"


async def test_streams_end_when_the_pooler_stops(tmp_path: Path) -> None:
    async with open_share_world(tmp_path) as world:
        rig = await world.join()
        reader = asyncio.create_task(_names(rig))
        async with asyncio.timeout(20):
            while not len(world.shares.streams):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        world.shares.streams.close_all()
        assert (await reader)[-1] == "error"


async def _names(rig: Rig) -> list[str]:
    async with events(rig) as stream:
        return await stream.rest()


async def test_a_miner_has_only_so_many_streams(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, shares_max_streams=2) as world:
        rig = await world.join()
        async with events(rig) as one, events(rig) as two:
            await one.next()
            await two.next()
            async with events(rig) as three:
                await three.response.aread()
                assert three.response.status_code == 429


async def test_a_reader_who_takes_nothing_has_only_so_much_waiting(world: ShareWorld) -> None:
    rig = await world.join()
    miner = await world.shares.accounts.of_credential(rig.credential)
    worker = await world.shares.workers.named(miner, "a", world.clock.now)
    worker.ask(world.clock.now, world.shares.bounds, rate=None, chosen=None)
    with world.shares.streams.reading(worker, count=1) as reader:
        for index in range(101, 400):
            await world.shares.works_sent(index - 1)
            await world.shares.open_block(block_of(index, farmers=1))
        found = []
        while (event := await reader.next(0.01)) is not None:
            found.append(event)
        assert len(found) <= 65
        assert sum(event.name == "job" for event in found) <= 1


async def test_a_thousand_streams_have_the_next_blocks_job(tmp_path: Path) -> None:
    """How soon, `make bench` says: nothing here depends on the machine's speed."""
    async with open_share_world(tmp_path, shares_max_streams=1000, farmers=25) as world:
        rig = await world.join()
        miner = await world.shares.accounts.of_credential(rig.credential)
        now, readers = world.clock.now, []
        streams = world.shares.streams
        with ExitStack() as stack:
            for number in range(100):
                worker = await world.shares.workers.named(miner, f"w{number}", now)
                worker.ask(now, world.shares.bounds, rate=None, chosen=None)
                readers += [
                    stack.enter_context(streams.reading(worker, count=1)) for _ in range(10)
                ]
            await world.next_block()
            tokens = set()
            for reader in readers:
                event = await reader.next(20)
                assert event is not None
                (job,) = json.loads(event.text.split(b"data: ")[1])["jobs"]
                assert job["block"] == 101
                tokens.add(job["job"])
            assert len(tokens) == 1000


async def test_who_joined_and_never_came_is_forgotten_after_a_week(world: ShareWorld) -> None:
    idle, busy = await world.join(), await world.join()
    await busy.job()
    world.clock.now += 7 * 86_400 + 1
    await Upkeep(world.shares)._round(0)
    answer = await idle.get("/work")
    assert (answer.status_code, answer.json()["reason"]) == (401, "BAD_CREDENTIAL")
    await busy.job()
