"""Connections: those that say nothing, too many of them, TLS, and the log of requests."""

import asyncio
import contextlib
import errno
import json
import logging
import socket
import ssl
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from libs.common import log as logs
from libs.common.authority import make_authority
from libs.common.grpc.identity import CallerKind
from libs.http.listener import Listener
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


async def test_those_that_came_at_once_are_not_closed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, patience = asyncio.get_running_loop(), set[float]()
    call_later = loop.call_later

    def note(delay: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        if getattr(callback, "__name__", "") == "abort":
            patience.add(delay)
        return call_later(delay, callback, *arguments)

    monkeypatch.setattr(loop, "call_later", note)
    async with open_gateway_world(tmp_path, head_timeout_ms=60_000) as world:
        opened = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(30)]
        assert (await world.get("/v1/blocks/7", token=None)).status_code == 200
        for _, writer in opened:
            writer.close()
    assert len(patience) >= 30
    assert min(patience) >= 60
    assert max(patience) <= 75
    assert max(patience) - min(patience) > 2


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


async def told(world: GatewayWorld, sent: bytes) -> bytes:
    """What is answered to these bytes, until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(sent)
    answer = b""
    with contextlib.suppress(ConnectionError):  # it may end while we still send
        async with asyncio.timeout(10):
            while part := await reader.read(65_536):
                answer += part
    writer.close()
    return answer


INFO = b"GET /v1/info HTTP/1.1\r\nHost: x\r\n"


async def test_a_request_is_answered_before_what_is_wrong_after_it(world: GatewayWorld) -> None:
    answer = await told(world, INFO + b"\r\n\x16\x03\x01 no request")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_requests_that_come_together_have_a_limit(world: GatewayWorld) -> None:
    answer = await told(world, (INFO + b"\r\n") * 5_000)
    assert answer.count(b"HTTP/1.1 200 OK") <= 40
    assert len(world.pool.asked("GetInfo")) <= 40


async def test_another_protocol_is_not_spoken(world: GatewayWorld) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
    answer = await told(
        world, INFO + upgrade + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INFO + b"\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_trailer_is_no_header(world: GatewayWorld) -> None:
    head = b"POST /v1/farmers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    body = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    token = f"Authorization: Bearer {OPERATOR_TOKEN}\r\n\r\n".encode()
    answer = await told(world, head + body + token + INFO + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401")
    assert not world.pool.asked("RegisterFarmer")


@pytest.mark.parametrize(
    "sent",
    [
        INFO + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        INFO + b"".join(b"X-%d: y\r\n" % number for number in range(10_000)) + b"\r\n",
        b"GET /v1/info?" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/info HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET http://x/v1/info HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/info#x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["header", "headers", "query", "version", "address", "fragment", "star"],
)
async def test_a_head_that_is_too_long_or_not_for_us_is_refused(
    world: GatewayWorld, sent: bytes
) -> None:
    answer = await told(world, sent)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"MALFORMED_HTTP" in answer
    assert not world.pool.asked("GetInfo")


@pytest.mark.parametrize(
    "late", [b"2;x=" + b"y" * 300_000, b"2\r\n{}\r\n0\r\nX: " + b"y" * 300_000]
)
async def test_remarks_and_trailers_have_a_limit(world: GatewayWorld, late: bytes) -> None:
    head = f"POST /v1/farmers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {OPERATOR_TOKEN}\r\n"
    more = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await told(world, head.encode() + more + late)
    assert b"200 OK" not in answer
    assert not world.pool.asked("RegisterFarmer")


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


async def test_who_is_connected_is_answered_between_many_who_come(tmp_path: Path) -> None:
    """The gateway takes a few of those who wait; then everybody else has a turn."""
    made: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = Listener(listening, lambda: _Counted(made), context=None, handshake=1.0)
        waiting = [socket.create_connection(listening.getsockname()) for _ in range(100)]
        listener.open()
        turns = list[int]()
        while len(made) < len(waiting):
            await asyncio.sleep(0)
            turns.append(len(made))
        listener.close()
        await listener.wait_closed()
    steps = [later - before for before, later in pairwise([0, *turns])]
    assert max(steps) <= 32
    for one in waiting:
        one.close()


class _Counted(asyncio.Protocol):
    """A protocol that counts its connections, and closes them."""

    def __init__(self, made: list[int]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made.append(1)
        transport.close()


async def test_without_descriptors_no_connection_is_taken_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libs.http.listener._PAUSE", 0.01)
    made: list[int] = []
    with _Full(socket.create_server(("127.0.0.1", 0)), failures=3) as listening:
        listener = Listener(
            cast("socket.socket", listening), lambda: _Counted(made), context=None, handshake=1.0
        )
        waiting = socket.create_connection(listening.inner.getsockname())
        listener.open()
        async with asyncio.timeout(60):
            while not made:  # noqa: ASYNC110  (accepting has no event)
                await asyncio.sleep(0.01)
        listener.close()
        await listener.wait_closed()
    assert listening.failures == 0
    waiting.close()


class _Full:
    """A listening socket of a process that has no descriptors left for a while."""

    def __init__(self, inner: socket.socket, *, failures: int) -> None:
        self.inner = inner
        self.failures = failures

    def __enter__(self) -> "_Full":
        return self

    def __exit__(self, *_: object) -> None:
        self.inner.close()

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "no descriptors left")
        return self.inner.accept()

    def fileno(self) -> int:
        return self.inner.fileno()

    def setblocking(self, flag: bool) -> None:
        self.inner.setblocking(flag)

    def listen(self, backlog: int) -> None:
        self.inner.listen(backlog)
