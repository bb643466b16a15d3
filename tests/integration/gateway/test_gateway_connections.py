"""Connections: those that say nothing, too many of them, TLS, and the log of requests."""

import asyncio
import json
import logging
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.common import log as logs
from libs.common.authority import make_authority
from libs.common.grpc.identity import CallerKind
from tests.support.fake_backends import FARMER, OPERATOR_TOKEN, POOLER_TOKEN, SUBJECTS
from tests.support.gateway_world import GatewayWorld, open_gateway_world


async def ends(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether a connection ends within the time."""
    try:
        async with asyncio.timeout(seconds):
            return not await reader.read()
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("said", [b"", b"GET /v1", b"GET /v1/blocks/7 HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(tmp_path: Path, said: bytes) -> None:
    async with open_gateway_world(tmp_path, head_timeout_ms=300) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(said)
        assert await ends(reader, 10)
        writer.close()


async def test_a_second_head_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, head_timeout_ms=300) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(b"GET /v1/blocks/7 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.write(b"GET /v1")
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()


async def test_a_connection_without_requests_is_closed(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, keep_alive_ms=1000) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(b"GET /v1/blocks/7 HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            assert b"200 OK" in await reader.read()
        writer.close()


async def test_connections_have_a_limit_and_those_that_are_there_go_on(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, max_connections=5) as world:
        assert (await world.get("/v1/blocks/7", token=None)).status_code == 200
        others = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(4)]
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        assert await ends(reader, 10)
        assert (await world.get("/v1/blocks/7", token=None)).status_code == 200
        for _, other in [*others, (reader, writer)]:
            other.close()


async def test_requests_that_come_together_are_answered_in_their_order(
    world: GatewayWorld,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    one = b"GET /v1/nobody HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v1/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    writer.write(one + last)
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.index(b"404 Not Found") < answer.index(b"200 OK")
    writer.close()


async def test_it_speaks_tls_with_files_of_its_own(tmp_path: Path) -> None:
    authority = make_authority("web")
    authority.save(tmp_path / "web")
    issued = authority.issue(CallerKind.SERVICE, "web")
    certificate, key = issued.save(tmp_path / "web", "web")
    files = {"gateway_tls_cert_file": certificate, "gateway_tls_key_file": key}
    async with open_gateway_world(tmp_path / "pool", **files) as world:
        context = ssl.create_default_context(cafile=str(tmp_path / "web" / "ca.pem"))
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            response = await client.get(f"https://127.0.0.1:{world.port}/v1/info")
            assert response.status_code == 200
        with pytest.raises(httpx.HTTPError):
            await world.get("/v1/info", token=None)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The log of the process."""
    written: list[dict[str, Any]] = []
    output = logs._Output(
        service="gateway", level=logging.INFO, write=lambda line: written.append(json.loads(line))
    )
    monkeypatch.setattr(logs, "_output", output)
    return written


async def test_each_request_has_a_line_without_secrets(
    world: GatewayWorld, lines: list[dict[str, Any]]
) -> None:
    await world.get(f"/v1/farmers/{FARMER}?secret={POOLER_TOKEN}", token=POOLER_TOKEN)
    await world.get(f"/v1/farmers/{FARMER}", headers={"X-Request-Id": "mine"})
    await world.get("/v1/blocks/7", token=None)
    await world.get("/nobody/here", token=None)
    requests = [line for line in lines if line.get("event") == "request"]
    assert [(one["route"], one["identity"], one["status"]) for one in requests] == [
        ("GET /v1/farmers/{farmer_id}", SUBJECTS[POOLER_TOKEN], "400"),
        ("GET /v1/farmers/{farmer_id}", SUBJECTS[OPERATOR_TOKEN], "200"),
        ("GET /v1/blocks/{index}", "127.0.0.1", "200"),
        ("none", "127.0.0.1", "404"),
    ]
    assert requests[1]["request_id"] == "mine"
    assert requests[3]["reason"] == "NO_SUCH_PATH"
    assert "kp_" not in json.dumps(lines)
