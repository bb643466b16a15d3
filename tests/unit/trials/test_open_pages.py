"""People who look on: they read their page again as pool.js does, and notice what goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from trials.bench import open_pages
from trials.bench.http_answers import Answers
from trials.bench.open_pages import Told, Viewer, look_on

Serve = Callable[[bytes], Awaitable[list[bytes]]]
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def event(block: int) -> bytes:
    head = '"head":{"ledger":1,"closeTime":"2026-01-31T12:00:00Z"}'
    return f'id: 1\ndata: {{"block":{{"index":{block}}},{head}}}\n\n'.encode()


@asynccontextmanager
async def serving(stream: list[bytes], requests: list[bytes]) -> AsyncIterator[str]:
    """A server of pages and of one stream; yields host:port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            requests.append(head.split()[1])
            if requests[-1] != b"/v1/blocks:watch":
                writer.write(PAGE)
                continue
            writer.write(STREAM)
            for part in stream:
                writer.write(part)
                await asyncio.sleep(0.05)
            if not stream:
                writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"{host}:{port}"
    finally:
        server.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def until(told: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not told():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads again does so soon."""
    monkeypatch.setattr(open_pages, "_SPREAD", 0.0)


async def test_a_page_is_read_before_its_stream_and_again_after_a_new_block(
    at_once: None,
) -> None:
    requests: list[bytes] = []
    # An event may come in two parts.
    stream = [event(7), event(7), event(8)[:30], event(8)[30:]]
    async with serving(stream, requests) as target:
        told = Told()
        viewer = Viewer(target, "/", told, reads_again=True)
        await viewer.open()
        await until(lambda: len(told.reads) == 2)
        viewer.close()
        assert requests == [b"/", b"/v1/blocks:watch", b"/"]
        assert viewer.events == len(told.delays) == 3
        assert sum(told.bytes) == 2 * len(PAGE)


async def test_a_stream_alone_reads_no_page_again(at_once: None) -> None:
    requests: list[bytes] = []
    async with serving([event(7), event(8)], requests) as target:
        found = await look_on(target, 1.3, 3, reads_again=False)
        assert (found["reads"], sorted(set(requests))[-1]) == (0, b"/v1/blocks:watch")
        assert len(requests) == 6


async def test_a_stream_that_ends_too_early_is_told() -> None:
    async with serving([], []) as target:
        told = Told()
        viewer = Viewer(target, "/", told, reads_again=False)
        await viewer.open()
        await until(lambda: told.errors)
        viewer.close()
        assert "a stream ended" in str(told.errors[0])


async def test_an_answer_that_is_no_success_is_told() -> None:
    answers = Answers()
    answers.connection_made(Silent())
    waiting = asyncio.create_task(answers.to(b""))
    await asyncio.sleep(0)
    answers.data_received(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(RuntimeError, match="503 Service Unavailable"):
        await waiting


class Silent:
    """A transport that sends nothing."""

    def write(self, _: bytes) -> None:
        """Nothing is sent."""
