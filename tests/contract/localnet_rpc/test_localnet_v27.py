"""localnet answers odd requests as stellar-rpc 27.1.1 does (tests/vectors/recordings/v27)."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from localnet.app import RunningLocalnet, open_localnet
from localnet.config import LocalnetSettings

_FOLDER = Path(__file__).parents[2] / "vectors" / "recordings" / "v27"
#: Odd requests, and calls that are refused or answered without any state.
_HTTP = sorted(p.stem for p in _FOLDER.glob("http_*.json"))
_CALLS = sorted(
    p.stem
    for p in _FOLDER.glob("*.json")
    if p.stem.startswith(("bad_", "unknown_", "limit_", "entries_", "send_", "simulate_", "not_"))
    or p.stem in {"getHealth", "getLedgers_too_old", "getLedgers_future"}
)


@pytest.fixture
async def running() -> AsyncIterator[RunningLocalnet]:
    settings = LocalnetSettings(port=0, idle_seconds=0.3)
    async with open_localnet(settings, timer=False) as found:
        for _ in range(5):
            found.close_ledger()
        found.node.history.forget_before(4)
        yield found


def recorded(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text())
    return parsed


def plain(text: str) -> str:
    """Without the ledgers of another network."""
    return re.sub(r"(ledger: |\()\d+", r"\1N", text)


def members(value: Any) -> Any:
    """A result without its values, an error without its ledgers."""
    if "result" in value:
        return {**value, "result": {n: type(v).__name__ for n, v in value["result"].items()}}
    error = value["error"]
    return {**value, "error": {**error, "message": plain(error["message"])}}


@pytest.mark.parametrize("name", _HTTP)
async def test_odd_requests(running: RunningLocalnet, name: str) -> None:
    asked = recorded(name)
    http, headers = asked["http"], asked["http"]["headers"]
    skipped = [] if "Content-Type" in headers else ["Content-Type"]
    async with (
        aiohttp.ClientSession(skip_auto_headers=skipped) as session,
        session.request(
            http["method"], running.url + http["path"], headers=headers, data=http["body"].encode()
        ) as answer,
    ):
        text = await answer.text()
        assert answer.status == asked["status"]
        if answer.status == 200:
            ours, theirs = json.loads(text), json.loads(asked["text"])
            if isinstance(theirs, list):
                assert [members(item) for item in ours] == [members(item) for item in theirs]
            else:
                assert members(ours) == members(theirs)
        else:
            assert text == asked["text"]
        for header, value in asked["headers"].items():
            assert answer.headers.get(header) == value, header


@pytest.mark.parametrize("name", _CALLS)
async def test_calls(running: RunningLocalnet, name: str) -> None:
    asked = recorded(name)
    async with (
        aiohttp.ClientSession() as session,
        session.post(running.url, json=asked["request"]) as answer,
    ):
        assert answer.status == asked["status"]
        assert members(await answer.json()) == members(asked["response"])


_PARAMETERS = recorded("parameters")["calls"]


@pytest.mark.parametrize("place", range(len(_PARAMETERS)))
async def test_parameters(running: RunningLocalnet, place: int) -> None:
    """Wrong types, wrong values, and values at the edge of what is taken."""
    asked = _PARAMETERS[place]
    latest = str(running.node.snapshot.sequence)
    params = json.loads(json.dumps(asked["params"]).replace('"L"', latest))
    body = {"jsonrpc": "2.0", "id": 1, "method": asked["method"], "params": params}
    async with (
        aiohttp.ClientSession() as session,
        session.post(running.url, json=body) as answer,
    ):
        found = await answer.json()
    if "error" in asked:
        assert numbers_out(found["error"]) == numbers_out(asked["error"])
    elif "refusal" in asked:
        result = found["result"]
        assert (result["error"].strip(), result["latestLedger"]) == (asked["refusal"], 0)
    else:
        assert sorted(found["result"]) == asked["members"]


def numbers_out(error: dict[str, Any]) -> Any:
    """An error without the ledgers of another network."""
    return json.loads(re.sub(r"(?<![-+\w])\d+(?!\w)", "N", json.dumps(error["message"]))), {
        name: value for name, value in error.items() if name != "message"
    }


async def test_idle_connections_are_closed_after_five_seconds_or_as_told() -> None:
    assert LocalnetSettings().idle_seconds == 5


async def test_an_idle_connection_is_closed(running: RunningLocalnet) -> None:
    """Without a word, as a client that keeps it longer finds out with its next request."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"jsonrpc":"2.0","id":1,"method":"getHealth"}'
    head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    for pause in (0.1, 0.1, 0.0):
        writer.write(request)
        answer = await asyncio.wait_for(reader.readuntil(b"}}"), 5)
        assert b"200 OK" in answer
        assert b"Connection: close" not in answer
        await asyncio.sleep(pause)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
