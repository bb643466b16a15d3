"""Streams as server-sent events: shared, resumed, alive, and nobody's burden."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from libs.common.errors import OutOfRangeError, UnavailableError
from tests.support.fake_chain import Chain
from tests.support.gateway_world import GatewayWorld, open_gateway_world

WATCH = "/v1/blocks:watch"


@pytest.fixture
def chain(world: GatewayWorld) -> Chain:
    made = Chain()
    world.pool.answers["WatchBlocks"] = made.watch
    return made


class Source:
    """What a browser's EventSource hears."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.comments = 0

    async def next(self) -> dict[str, str]:
        """The next event."""
        event: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif "data" in event:
                    return event
        raise EOFError


@asynccontextmanager
async def watching(world: GatewayWorld, path: str = WATCH, **headers: str) -> AsyncIterator[Source]:
    async with world.http.stream("GET", path, headers=headers) as response:
        yield Source(response)


async def all_left(world: GatewayWorld) -> None:
    """Until no stream of the services is read any more."""
    async with asyncio.timeout(10):
        while world.pool.open_streams:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_events_have_ids_from_which_a_stream_goes_on(
    world: GatewayWorld, chain: Chain
) -> None:
    async with watching(world) as source:
        assert source.response.headers["content-type"].startswith("text/event-stream")
        assert source.response.headers["cache-control"] == "no-store"
        first = await source.next()
        assert first["id"] == "5.100"
        assert first["retry"] == "1000"
        assert json.loads(first["data"])["block"]["index"] == 5
        await chain.step(blocks=1)
        assert (await source.next())["id"] == "6.101"
    await all_left(world)
    await chain.step(blocks=3)
    async with watching(world, **{"Last-Event-ID": "6.101"}) as source:
        ids = [(await source.next())["id"] for _ in range(3)]
        assert ids == ["7.102", "8.102", "9.102"]


async def test_a_query_says_where_to_go_on_too(world: GatewayWorld, chain: Chain) -> None:
    async with watching(world, f"{WATCH}?afterIndex=3") as source:
        assert [(await source.next())["id"] for _ in range(2)] == ["4.100", "5.100"]
    await all_left(world)
    # Nothing was missed: nothing more is asked of wallet.
    calls = len(chain.after)
    async with watching(world, f"{WATCH}?afterIndex=5") as source:
        assert (await source.next())["id"] == "5.100"
    assert chain.after[calls:] == [None]


async def test_what_is_too_old_to_resume_is_an_error(world: GatewayWorld, chain: Chain) -> None:
    response = await world.get(f"{WATCH}?afterIndex=0", token=None)
    assert (response.status_code, response.json()["reason"]) == (400, "HISTORY_GONE")
    response = await world.get(WATCH, token=None, headers={"Last-Event-ID": "soon"})
    assert response.json()["violations"][0]["field"] == "Last-Event-ID"


async def test_any_number_of_readers_is_one_call(world: GatewayWorld, chain: Chain) -> None:
    async with watching(world) as one, watching(world) as two, watching(world) as three:
        for source in (one, two, three):
            assert (await source.next())["id"] == "5.100"
        assert world.pool.streams == 1
        await chain.step()
        for source in (one, two, three):
            assert (await source.next())["id"] == "5.101"
    await all_left(world)


async def test_silence_has_signs_of_life(world: GatewayWorld, chain: Chain) -> None:
    async with watching(world) as source:
        await source.next()
        waiting = asyncio.create_task(source.next())
        await asyncio.sleep(1)
        await chain.step()
        await waiting
        assert source.comments >= 2


async def test_a_stream_that_breaks_is_opened_again_unnoticed(
    world: GatewayWorld, chain: Chain
) -> None:
    async with watching(world) as source:
        await source.next()
        await chain.step(blocks=2, error=UnavailableError("restarting"))
        assert [(await source.next())["id"] for _ in range(2)] == ["6.101", "7.101"]
    assert chain.after == [None, 5]


async def test_an_error_that_does_not_pass_is_the_last_event(
    world: GatewayWorld, chain: Chain
) -> None:
    async with watching(world) as source:
        await source.next()
        await chain.step(error=OutOfRangeError("gone", reason="HISTORY_GONE"))
        last = await source.next()
        assert last["event"] == "error"
        assert json.loads(last["data"])["reason"] == "HISTORY_GONE"
        with pytest.raises(EOFError):
            await source.next()


async def test_before_the_first_event_an_error_is_a_status(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, wallet_target="127.0.0.1:1") as world:
        response = await world.get(WATCH, token=None)
        assert (response.status_code, response.json()["reason"]) == (503, "UNAVAILABLE")


async def test_a_caller_has_so_many_streams(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, max_streams_per_caller=2) as world:
        chain = Chain()
        world.pool.answers["WatchBlocks"] = chain.watch
        async with watching(world) as one, watching(world) as two:
            await one.next()
            await two.next()
            response = await world.get(WATCH, token=None)
            assert (response.status_code, response.json()["reason"]) == (429, "TOO_MANY_STREAMS")


async def test_when_the_gateway_stops_readers_are_told(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path) as world:
        chain = Chain()
        world.pool.answers["WatchBlocks"] = chain.watch
        source = await asyncio.create_task(_begin(world))
    last = await source.next()
    assert json.loads(last["data"])["reason"] == "STOPPING"


async def _begin(world: GatewayWorld) -> Source:
    """A stream of a client that outlives the gateway."""
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.port}", trust_env=False)
    response = await client.send(client.build_request("GET", WATCH), stream=True)
    source = Source(response)
    await source.next()
    return source


async def test_who_takes_nothing_is_cut_off_and_nobody_waits(
    world: GatewayWorld, chain: Chain
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1024)
    writer.write(f"GET {WATCH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readline()
    async with watching(world) as source:
        await source.next()
        for _ in range(50):
            await chain.step(blocks=1)
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while (await source.next())["id"].split(".")[0] != "55":
                pass
    writer.close()


async def test_who_leaves_ends_its_stream(world: GatewayWorld, chain: Chain) -> None:
    async with watching(world) as source:
        await source.next()
        assert world.pool.open_streams == 1
    await all_left(world)
