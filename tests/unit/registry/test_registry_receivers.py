"""HTTP to receivers that anybody may name: where it goes, and what a hostile one can do."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from libs.common.authority import CERTIFICATE_FILE, make_authority
from libs.common.grpc.identity import CallerKind
from services.registry.domain.deliveries import Outcome
from services.registry.receivers import Receivers, open_receivers

#: Seconds for an answer that comes, and for one that does not.
PATIENCE, SHORT = 20.0, 1.0
CLOSED = Outcome(error="the host has no public address")
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(kw_only=True)
class Host:
    """A server on this machine."""

    port: int = 0
    #: What came over each connection until its request was whole.
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=secret"


@asynccontextmanager
async def open_host(answer: Answer, **options: Any) -> AsyncIterator[Host]:
    """A server that answers like this, once a request is whole."""
    host = Host()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host.connections += 1
        try:
            host.heads.append(await reader.readuntil(b"\r\n\r\n"))
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side has had enough, or the test
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()


@asynccontextmanager
async def opened(
    *, allow_private: bool = True, authority: Path | None = None, timeout: float = PATIENCE
) -> AsyncIterator[Receivers]:
    async with open_receivers(
        timeout=timeout, at_once=4, allow_private=allow_private, authority=authority
    ) as receivers:
        yield receivers


def says(text: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answer


def repeats(text: bytes, *, before: bytes = b"") -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        while True:
            writer.write(text)
            await writer.drain()
            await asyncio.sleep(0)

    return answer


OK = b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_a_body_is_posted_with_its_headers() -> None:
    async with open_host(says(OK)) as host, opened() as receivers:
        found = await receivers.post(host.url, b"{}", {"webhook-id": "7"})
    assert found == Outcome(status=204)
    (head,) = host.heads
    assert head.startswith(b"POST /hook?token=secret HTTP/1.1\r\n")
    assert b"\r\nwebhook-id: 7\r\n" in head
    assert b"\r\nUser-Agent: kalepool/" in head


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_nothing_reaches_a_private_host_by_address_or_name(name: str) -> None:
    async with open_host(says(OK)) as host, opened(allow_private=False) as receivers:
        found = await receivers.post(host.url.replace("127.0.0.1", name), b"{}", {})
    assert found == CLOSED
    assert host.connections == 0


async def test_a_name_is_asked_for_once_and_its_address_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: a name that is public when it is looked at, and private afterwards."""
    asked: list[str] = []

    def lookup(host: str, port: int, *_: Any) -> list[Any]:
        asked.append(host)
        address = "8.8.8.8" if len(asked) > 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async with open_host(says(OK)) as host, opened(allow_private=False) as receivers:
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        url = host.url.replace("127.0.0.1", "rebinding.example.com")
        assert await receivers.post(url, b"{}", {}) == CLOSED
    assert asked == ["rebinding.example.com"]
    assert host.connections == 0


async def test_of_a_names_addresses_only_public_ones_are_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened_to: list[str] = []

    def lookup(host: str, port: int, *_: Any) -> list[Any]:
        found = [("10.0.0.1", socket.AF_INET), ("198.18.0.1", socket.AF_INET)]
        return [(family, socket.SOCK_STREAM, 6, "", (one, port)) for one, family in found]

    real = socket.socket.connect
    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    def connecting(self: socket.socket, to: Any) -> None:
        opened_to.append(to[0])
        real(self, to)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    async with opened(allow_private=False) as receivers:
        assert await receivers.post("http://many.example.com/", b"{}", {}) == CLOSED
    assert opened_to == []


async def test_redirects_are_not_followed() -> None:
    async with open_host(says(OK)) as other, opened() as receivers:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n"
        async with open_host(says(moved.encode())) as host:
            assert await receivers.post(host.url, b"{}", {}) == Outcome(status=307)
    assert other.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        repeats(b"", before=b""),
        repeats(b"H" * 1000),
        repeats(b"X: y\r\n" * 100, before=b"HTTP/1.1 200 OK\r\n"),
        repeats(b"x" * 1000, before=b"HTTP/1.1 200 OK\r\nX: "),
        repeats(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        says(b"SSH-2.0-OpenSSH_9.2\r\n"),
        says(b"HTTP/1.1 999999 No\r\n\r\n"),
        says(b""),
    ],
    ids=["nothing", "status line", "headers", "header", "hints", "no HTTP", "status", "end"],
)
async def test_an_answer_that_is_none_ends(answer: Answer) -> None:
    async with open_host(answer) as host, opened(timeout=SHORT) as receivers:
        found = await receivers.post(host.url, b"{}", {})
    assert found.status == 0
    assert found.error in {"no answer in time", "no sound answer", "no connection"}


async def test_a_body_without_an_end_is_not_read() -> None:
    taken = 0

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            taken += 65_536
            await asyncio.sleep(0)

    async with open_host(answer) as host, opened() as receivers:
        assert await receivers.post(host.url, b"{}", {}) == Outcome(status=200)
        await asyncio.sleep(0.2)
    # What the system's own buffers hold; nobody takes more.
    assert taken < 32 * 2**20


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), ("9999999999999", 3600.0), ("-7", 0.0), ("7.5", 0.0), ("²", 0.0)],
)
async def test_a_receiver_says_how_long_it_wants_to_be_left_alone(
    text: str, seconds: float
) -> None:
    answer = f"HTTP/1.1 429 Wait\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n"
    async with open_host(says(answer.encode())) as host, opened() as receivers:
        found = await receivers.post(host.url, b"{}", {})
    assert found == Outcome(status=429, retry_after=seconds)


async def test_nobody_listens_and_no_name() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    async with opened() as receivers:
        refused = await receivers.post(f"http://127.0.0.1:{port}/", b"{}", {})
        nameless = await receivers.post("http://nobody.invalid/", b"{}", {})
    assert refused == Outcome(error="no connection")
    assert nameless.error in {"the host has no address", "no answer in time"}


async def test_a_certificate_has_to_count_for_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority("hooks")
    authority.save(tmp_path / "authority")
    certificate, key = authority.issue(
        CallerKind.SERVICE, "plant", addresses=["hooks.example.com"]
    ).save(tmp_path, "plant")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setattr(socket, "getaddrinfo", _here)
    async with open_host(says(OK), ssl=context) as host:
        url = host.url.replace("http://127.0.0.1", "https://hooks.example.com")
        async with opened() as receivers:
            stranger = await receivers.post(url, b"{}", {})
        async with opened(authority=tmp_path / "authority" / CERTIFICATE_FILE) as receivers:
            other_name = await receivers.post(url.replace("hooks.", "other."), b"{}", {})
            assert host.heads == []
            assert await receivers.post(url, b"{}", {}) == Outcome(status=204)
    assert stranger.error == other_name.error
    assert stranger.error.startswith("TLS: ")


def _here(host: str, port: int, *_: Any) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
