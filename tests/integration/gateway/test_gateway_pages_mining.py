"""What the overview shows of poolers' mining, and of poolers that are away or tell nonsense."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pooler.shares.door.examples import POOL
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.pages import checked, text_of
from tests.support.share_world import found_in, open_share_world


@asynccontextmanager
async def open_told(response: Mapping[str, Any]) -> AsyncIterator[tuple[str, list[str]]]:
    """Have a pooler that answers in one way; yield its address, and the paths that it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(**response)

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def overview(site: GatewayWorld) -> str:
    answer = await site.get("/", token=None)
    assert answer.status_code == 200
    found = checked(answer.text)
    assert (found.wrong, found.open) == ([], [])
    return answer.text


async def test_a_pool_without_named_poolers_shows_no_mining(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path) as site:
        assert 'id="mining"' not in await overview(site)


async def test_a_poolers_door_is_shown_as_it_tells_everybody(tmp_path: Path) -> None:
    async with open_share_world(tmp_path, shares_name="<b>north</b>") as door:
        rig = await door.join()
        await rig.submit(*found_in(await rig.job(), 3))
        door.clock.now += 10
        door.shares.own_hashes(100, 123_456_789)
        url = f"http://127.0.0.1:{door.port}"
        async with open_gateway_world(tmp_path / "gateway", pooler_urls=url) as site:
            page = await overview(site)
    told = text_of(page)
    assert "&lt;b&gt;north&lt;/b&gt; 100 12.3 MH/s" in told
    assert "Workers 1 machines of miners that bring shares" in told
    (find,) = door.block.best.values()
    assert f"Zeros so far 1 with {find.zeros} farmers by their best nonce" in told
    assert 'href="/blocks/100"' in page


async def test_several_poolers_are_summed_and_one_that_is_away_is_told(tmp_path: Path) -> None:
    same = {"body": json.dumps(POOL)}
    async with open_told(same) as (one, asked), open_told(same) as (other, _):
        urls = f"{one}, http://127.0.0.1:1,{other}/"
        async with open_gateway_world(tmp_path, pooler_urls=urls) as site:
            told = text_of(await overview(site))
            await overview(site)
    # Twice 11.65 MH/s of its own, and 21.0 ± 1.3 of its miners.
    assert "Hash rate 65.3 MH/s 23.3 MH/s of the poolers, 42.0 MH/s ± 1.8 MH/s of" in told
    assert "Workers 34" in told
    assert "Zeros so far 34 with 6, 16 with 5" in told
    assert "127.0.0.1:1 Not to be had just now: the pooler at 127.0.0.1:1 does not answer" in told
    # It is asked once for all who look within a moment.
    assert asked == ["/v1/pool"]


async def test_a_pooler_that_takes_no_end_is_not_waited_for(tmp_path: Path) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with open_gateway_world(tmp_path, pooler_urls=url) as site:
            told = text_of(await overview(site))
    assert "does not answer" in told
    assert "Connect Poolers farm by a token" in told


async def test_a_pooler_before_its_first_block_has_none(tmp_path: Path) -> None:
    body = json.dumps(POOL | {"block": None})
    async with (
        open_told({"body": body}) as (url, _),
        open_gateway_world(tmp_path, pooler_urls=url) as site,
    ):
        assert "KALE pool – – 21.0 MH/s ± 1.3 MH/s 12 17 – –" in text_of(await overview(site))


@pytest.mark.parametrize(
    ("response", "why"),
    [
        ({"status": 503}, "answers with status 503"),
        ({"status": 302, "headers": {"Location": "/elsewhere"}}, "answers with status 302"),
        ({"body": b"x" * 70_000}, "answers more than it should"),
        ({"body": b"<html>"}, "tells something else: the answer is wrong"),
        ({"body": json.dumps(POOL | {"workers": -1})}, "tells something else: workers is wrong"),
        ({"body": json.dumps(POOL | {"name": "x" * 65})}, "tells something else: name is wrong"),
        (
            {"body": json.dumps(POOL | {"rate": {"rate": 2**63, "error": 0}})},
            "tells something else: rate.rate is wrong",
        ),
        (
            {"body": json.dumps(POOL | {"block": POOL["block"] | {"zeros": {"65": 1}}})},
            "tells something else: block.zeros.65",
        ),
    ],
)
async def test_whatever_a_pooler_tells_the_rest_of_the_page_is_there(
    response: Mapping[str, Any], why: str, tmp_path: Path
) -> None:
    async with (
        open_told(response) as (url, asked),
        open_gateway_world(tmp_path, pooler_urls=url) as site,
    ):
        told = text_of(await overview(site))
    assert why in told
    assert "Connect Poolers farm by a token" in told
    assert asked == ["/v1/pool"]
