"""A node's ordinary manners: it closes idle connections, wants rest, is restarted, says why."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import monotonic
from typing import Any

import pytest
from aiohttp import web

from localnet.app import open_localnet
from localnet.config import LocalnetSettings
from services.wallet.chain.errors import (
    RpcBusyError,
    RpcRejectedError,
    RpcUnavailableError,
    UnknownAnswerError,
)
from services.wallet.chain.node import health, transport
from services.wallet.chain.node.endpoints import Endpoints, open_endpoints
from services.wallet.chain.node.health import AWAY_AFTER, EndpointState
from services.wallet.chain.node.rpc import Rpc, open_rpc
from services.wallet.domain.heights import Heights
from tests.support.json_rpc import ScriptedNode, json_rpc_server, result
from tests.support.tcp_relay import open_relay

OURS = "Standalone Network ; February 2017"
S = EndpointState


class Hasty:
    """Answers so many requests of each connection, and then closes it as the next one comes."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        #: Requests that came.
        self.requests = 0
        #: Connections that are open.
        self.open = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            for _ in range(self._answers):
                number = await self._request(reader)
                body = (
                    f'{{"id":{number},"result":{{"latestLedger":9,"latestLedgerCloseTime":"1",'
                    '"oldestLedger":1}}'
                )
                writer.write(
                    f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                )
            await self._request(reader)
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body = (await reader.readexactly(length)).decode()
        self.requests += 1
        return int(body.partition('"id":')[2].partition(",")[0])

    @asynccontextmanager
    async def rpc(self) -> AsyncIterator[Rpc]:
        """The endpoint, while the block runs."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with open_rpc(url, passphrase=OURS, timeout=2, seen=Heights(1)) as rpc:
            yield rpc
        server.close()


async def test_what_met_the_close_of_a_kept_connection_is_asked_again() -> None:
    node = Hasty(answers=1)
    async with node.rpc() as rpc:
        for _ in range(5):
            assert (await rpc.head()).sequence == 9
        assert rpc.health.failures == 0
        assert node.requests > 5


async def test_who_never_answers_is_asked_twice_and_has_failed() -> None:
    node = Hasty(answers=0)
    async with node.rpc() as rpc:
        with pytest.raises(RpcUnavailableError):
            await rpc.head()
        assert (node.requests, rpc.health.failures) == (2, 1)


async def test_an_envelope_may_meet_the_close_too() -> None:
    node = Hasty(answers=1)
    async with node.rpc() as rpc:
        await rpc.head()
        (sent,) = await rpc.send(["AAAA"])  # asked again; the answer is none of sendTransaction's
        assert isinstance(sent, UnknownAnswerError)
        assert node.requests == 3


async def test_no_connection_is_kept_as_long_as_nodes_keep_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert transport._KEPT < 5  # stellar-rpc's
    monkeypatch.setattr(transport, "_KEPT", 0.2)
    node = Hasty(answers=10)
    async with node.rpc() as rpc:
        await rpc.head()
        assert node.open == 1
        async with asyncio.timeout(60):
            while node.open:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await rpc.head()


# Rest


class Resting(ScriptedNode):
    """Answers with a status and a Retry-After when it is told to."""

    def __init__(self) -> None:
        super().__init__(passphrase=OURS)
        self.status = 200
        self.retry_after: str | None = None

    def _answer(self, request: Mapping[str, Any]) -> web.Response:
        if self.status == 200:
            return super()._answer(request)
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        return web.Response(status=self.status, headers=headers)


@asynccontextmanager
async def open_pair() -> AsyncIterator[tuple[Resting, ScriptedNode, Endpoints]]:
    """A node that may want rest, the other one, and both as endpoints."""
    first, second = Resting(), ScriptedNode(passphrase=OURS, ledger=101)
    async with (
        first.serve() as one,
        second.serve() as two,
        open_endpoints([one, two], passphrase=OURS, timeout=5, hedge=5) as endpoints,
    ):
        while [status.state for status in endpoints.statuses()] != [S.HEALTHY] * 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        yield first, second, endpoints


@pytest.mark.parametrize("status", [429, 503])
async def test_a_node_that_wants_rest_gets_it(status: int) -> None:
    async with open_pair() as (first, _, endpoints):
        first.status, first.retry_after = status, "7"
        started = monotonic()
        assert (await endpoints.head()).sequence == 101
        first.calls.clear()
        for _ in range(2 * AWAY_AFTER):
            assert (await endpoints.head()).sequence == 101
            (sent,) = await endpoints.send(["AAAA"])
            assert not isinstance(sent, Exception)
        assert monotonic() - started < 7
        assert first.calls == []
        shown = endpoints.statuses()[0]
        assert (shown.state, shown.failures) == (S.HEALTHY, 0)
        assert 0 < shown.resting <= 7
        assert f"HTTP {status}" in shown.reason


async def test_after_its_rest_it_is_asked_again() -> None:
    async with open_pair() as (first, _, endpoints):
        first.status, first.retry_after = 429, "1"
        assert (await endpoints.head()).sequence == 101
        first.status = 200
        await asyncio.sleep(1.1)
        first.calls.clear()
        first.ledger = 102
        assert (await endpoints.head()).sequence == 102


@asynccontextmanager
async def open_resting() -> AsyncIterator[tuple[Resting, Rpc]]:
    """A node that may want rest, alone."""
    node = Resting()
    async with (
        node.serve() as url,
        open_rpc(url, passphrase=OURS, timeout=2, seen=Heights(1)) as rpc,
    ):
        yield node, rpc


def in_seconds(seconds: float) -> str:
    """An HTTP date."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        (lambda: "12", 11, 12),
        (lambda: "0", 0.5, 1),
        (lambda: "9" * 400, 29, 30),
        (lambda: in_seconds(20), 17, 20),
        (lambda: in_seconds(-20), 0.5, 1),
        (lambda: in_seconds(10**6), 29, 30),
        (lambda: None, 0.5, 1),
        (lambda: "soon", 0.5, 1),
    ],
)
async def test_with_only_that_node_the_error_says_when(
    retry_after: Callable[[], str | None], least: float, most: float
) -> None:
    async with open_resting() as (node, rpc):
        node.status, node.retry_after = 429, retry_after()
        for _ in range(AWAY_AFTER):
            with pytest.raises(RpcBusyError) as caught:
                await rpc.head()
            assert least < (caught.value.retry_after or 0) <= most
        assert (node.calls, rpc.health.failures) == (["getTransaction"], 0)


@pytest.mark.parametrize("retry_after", [None, "soon", "-5"])
async def test_a_node_in_trouble_that_says_no_time_has_failed(retry_after: str | None) -> None:
    async with open_resting() as (node, rpc):
        node.status, node.retry_after = 503, retry_after
        for _ in range(AWAY_AFTER):
            with pytest.raises(RpcUnavailableError, match="HTTP 503"):
                await rpc.head()
        assert rpc.health.state is S.AWAY


# Words and restarts


async def test_what_a_node_says_of_a_refusal_is_told() -> None:
    def refuse(call: Mapping[str, Any]) -> web.Response:
        error = {"code": -32602, "message": "invalid parameters", "data": "hash must be hex"}
        return web.json_response({"id": call["id"], "error": error})

    async with (
        json_rpc_server(refuse) as url,
        open_rpc(url, passphrase=OURS, timeout=2, seen=Heights(1)) as rpc,
    ):
        with pytest.raises(RpcRejectedError, match="invalid parameters: hash must be hex"):
            await rpc.head()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (web.Response(status=500, text="out of\nmemory"), "HTTP 500: out of memory"),
        (web.Response(status=415, text="Invalid\x00 content-type"), "HTTP 415: Invalid content"),
        (web.Response(status=500, text="x" * 10**6), "HTTP 500: x{200}\\)"),
        (web.Response(status=404, text="no such path: /hushhush"), "HTTP 404\\)"),
        (web.Response(status=502, text="<html>", content_type="text/html"), "HTTP 502\\)"),
    ],
)
async def test_the_words_of_an_error_are_told(answer: web.Response, told: str) -> None:
    async with (
        json_rpc_server(lambda _: answer) as url,
        open_rpc(f"{url}/hushhush", passphrase=OURS, timeout=2, seen=Heights(1)) as rpc,
    ):
        with pytest.raises(RpcUnavailableError, match=told) as caught:
            await rpc.head()
        assert "hush" not in str(caught.value)


async def test_a_packed_answer_is_unpacked() -> None:
    def answer(call: Mapping[str, Any]) -> web.Response:
        facts = result(call, passphrase="x" * 200)
        facts.enable_compression(web.ContentCoding.gzip)
        return facts

    async with (
        json_rpc_server(answer) as url,
        open_rpc(url, passphrase=OURS, timeout=2, seen=Heights(1)) as rpc,
    ):
        assert await rpc.passphrase() == "x" * 200


async def test_a_restart_is_that_nodes_short_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for again soon, however far the next probe was when it went."""
    monkeypatch.setattr(health, "PROBE_EVERY", 60.0)
    monkeypatch.setattr(health, "FIRST_PAUSE", 0.1)
    async with AsyncExitStack() as stack:
        options = LocalnetSettings(host="127.0.0.1", port=0)
        node = await stack.enter_async_context(open_localnet(options, timer=False))
        relay = await stack.enter_async_context(
            open_relay("127.0.0.1", int(node.url.rpartition(":")[2]))
        )
        url = f"http://127.0.0.1:{relay.port}"
        endpoints = await stack.enter_async_context(
            open_endpoints([url, node.url], passphrase=OURS, timeout=5, hedge=5)
        )
        while [status.state for status in endpoints.statuses()] != [S.HEALTHY] * 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await relay.cut()
        for _ in range(AWAY_AFTER):
            await endpoints.head()
        assert [status.state for status in endpoints.statuses()] == [S.AWAY, S.HEALTHY]
        await relay.mend()
        async with asyncio.timeout(60):
            while endpoints.statuses()[0].state is not S.HEALTHY:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
