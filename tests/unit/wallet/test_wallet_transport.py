"""What a server's refusal means: no list, a rest, or nothing; and what of a URL is never shown."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from services.wallet.chain.errors import RpcBusyError, RpcUnavailableError
from services.wallet.chain.node import transport as module
from services.wallet.chain.node.bounds import Bounds, bounds_of
from services.wallet.chain.node.transport import ListRefusedError, Transport

URL = "https://user:hush@node:8000/key%20one/ab?token=quiet&x=y"
KIB, MIB = 1024, 1024 * 1024


class Body:
    """The body of an answer, which arrives in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    async def read(self, most: int) -> bytes:
        """As aiohttp's; no piece is longer than what is asked for."""
        piece = self._pieces.pop(0) if self._pieces else b""
        assert len(piece) <= most
        return piece

    def at_eof(self) -> bool:
        """As aiohttp's."""
        return not self._pieces


class Response:
    """A server's answer."""

    def __init__(self, body: bytes = b"{}", *, status: int = 200, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.content = Body(body)
        self.content_type = headers.get("Content_Type", "application/json")
        self.content_length: int | None = None

    async def __aenter__(self) -> "Response":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class Session:
    """Answers each POST with the next of its answers."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.posted: list[tuple[str, bytes, bool]] = []

    async def post(self, url: str, *, data: bytes, allow_redirects: bool) -> Any:
        """As aiohttp's."""
        self.posted.append((url, data, allow_redirects))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def transport(*answers: Any, fresh: Session | None = None, url: str = URL) -> Transport:
    """A transport whose server gives these answers."""
    sessions = cast(Any, (Session(*answers), fresh or Session()))
    return Transport(sessions, url, "node:8000", asyncio.Semaphore(1))


async def ask(made: Transport, *, is_list: bool = False) -> Any:
    """The parsed answer."""
    return await made.ask("getHealth", b"body", lambda answer: answer, is_list=is_list)


# Statuses


@pytest.mark.parametrize("status", [400, 405, 413, 415, 422, 501])
async def test_some_statuses_mean_that_a_list_is_not_taken(status: int) -> None:
    with pytest.raises(ListRefusedError):
        await ask(transport(Response(status=status)), is_list=True)
    with pytest.raises(RpcUnavailableError, match=f"HTTP {status}"):
        await ask(transport(Response(status=status)))


@pytest.mark.parametrize("status", [201, 302, 401, 404, 406, 414, 500, 502])
async def test_other_statuses_are_no_answer_to_a_list_either(status: int) -> None:
    with pytest.raises(RpcUnavailableError, match=f"no answer \\(HTTP {status}\\)") as caught:
        await ask(transport(Response(status=status)), is_list=True)
    assert type(caught.value) is RpcUnavailableError
    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize(
    ("status", "after", "rest"),
    [
        (429, "", 1.0),
        (429, "7", 7.0),
        (503, "7", 7.0),
        (429, "0", 1.0),
        (429, " 12 ", 12.0),
        (503, "99", 30.0),
        (429, "9" * 400, 30.0),
        (429, "soon", 1.0),
        (429, "²", 1.0),
        (503, "soon", None),
        (503, "", None),
        (500, "7", None),
        (504, "7", None),
    ],
)
async def test_a_node_may_ask_for_a_rest(status: int, after: str, rest: float | None) -> None:
    with pytest.raises(RpcUnavailableError) as caught:
        await ask(transport(Response(status=status, Retry_After=after)))
    assert isinstance(caught.value, RpcBusyError) is (rest is not None)
    assert caught.value.retry_after == (rest or 1.0)


@pytest.mark.parametrize("zone", [UTC, None])
async def test_a_rest_may_end_at_a_moment(zone: Any) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=20)
    text = format_datetime(moment, usegmt=True)
    if zone is None:
        text = text.removesuffix(" GMT") + " -0000"
    with pytest.raises(RpcBusyError) as caught:
        await ask(transport(Response(status=429, Retry_After=text)))
    assert caught.value.retry_after is not None
    assert 1.0 < caught.value.retry_after <= 20.0


async def test_a_moment_that_has_passed_asks_for_the_shortest_rest() -> None:
    text = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    with pytest.raises(RpcBusyError) as caught:
        await ask(transport(Response(status=503, Retry_After=text)))
    assert caught.value.retry_after == 1.0


# Words


async def test_the_words_of_a_refusal_are_told() -> None:
    answer = Response(b"too  many\n\x00requests", status=500, Content_Type="text/plain")
    with pytest.raises(RpcUnavailableError, match=r"HTTP 500: too many requests"):
        await ask(transport(answer))


async def test_words_that_are_no_plain_text_are_not_told() -> None:
    html = Response(b"<html>", status=500, Content_Type="text/html")
    packed = Response(b"xxxx", status=500, Content_Type="text/plain", Content_Encoding="gzip")
    for answer in (html, packed):
        with pytest.raises(RpcUnavailableError, match=r"\(HTTP 500\)"):
            await ask(transport(answer))


async def test_words_are_cut_and_need_not_be_utf8() -> None:
    answer = Response(b"\xff" + b"x" * 300, status=500, Content_Type="text/plain")
    with pytest.raises(RpcUnavailableError) as caught:
        await ask(transport(answer))
    assert "x" * 199 in str(caught.value)
    assert "x" * 200 not in str(caught.value)


@pytest.mark.parametrize("secret", ["user", "hush", "key%20one", "key one", "token", "quiet"])
async def test_words_that_show_a_part_of_the_url_are_not_told(secret: str) -> None:
    answer = Response(f"bad {secret} here".encode(), status=500, Content_Type="text/plain")
    with pytest.raises(RpcUnavailableError) as caught:
        await ask(transport(answer))
    assert secret not in str(caught.value).replace("the Stellar node", "")


@pytest.mark.parametrize("words", ["ab", "x y", "node says no"])
def test_words_that_show_no_secret_are_told(words: str) -> None:
    assert transport().clean(words) == words


def test_a_url_without_secrets_hides_nothing() -> None:
    assert transport(url="http://node").clean("http") == "http"


# Connections


async def test_a_request_that_met_the_close_of_a_connection_is_sent_on_a_fresh_one() -> None:
    fresh = Session(Response(b'{"a":1}'), Response(b'{"a":2}'))
    lost = [aiohttp.ServerDisconnectedError(), aiohttp.ClientOSError()]
    made = transport(*lost, fresh=fresh)
    assert [await ask(made), await ask(made)] == [{"a": 1}, {"a": 2}]
    assert fresh.posted == [(URL, b"body", False)] * 2


async def test_where_there_is_no_server_nothing_is_sent_again() -> None:
    fresh = Session()
    key = cast(Any, SimpleNamespace(ssl=None, host="node", port=1, is_ssl=False))
    made = transport(aiohttp.ClientConnectorError(key, OSError("no")), fresh=fresh)
    with pytest.raises(RpcUnavailableError, match="ClientConnectorError"):
        await ask(made)
    assert fresh.posted == []


async def test_no_redirection_is_followed() -> None:
    session = Session(Response())
    made = Transport(cast(Any, (session, Session())), URL, "node", asyncio.Semaphore(1))
    await ask(made)
    assert session.posted == [(URL, b"body", False)]


async def test_large_answers_are_read_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def read(answer: Any) -> int:
        threads.append(threading.current_thread().name)
        return len(answer)

    monkeypatch.setattr(module, "_LARGE", 6)
    small, large = transport(Response(b"[1,2]")), transport(Response(b"[1,23]"))
    assert await small.ask("getHealth", b"", read) == 2
    assert await large.ask("getHealth", b"", read) == 2
    assert [name.startswith("chain-decoder") for name in threads] == [False, True]


# Bounds


@pytest.mark.parametrize(
    ("method", "size", "marks"),
    [
        ("getLedgerEntries", 2 * MIB, 10_000),
        ("getTransaction", 2 * MIB, 10_000),
        ("getTransactions", 8 * MIB, 60_000),
        ("getEvents", 4 * MIB, 40_000),
        ("simulateTransaction", 2 * MIB, 20_000),
        ("sendTransaction", 1 * MIB, 10_000),
        ("getHealth", 64 * KIB, 2_000),
        ("getFeeStats", 64 * KIB, 2_000),
    ],
)
def test_each_method_has_its_bounds(method: str, size: int, marks: int) -> None:
    """The README of the wallet's chain tells what was measured on a real network."""
    assert bounds_of(method) == Bounds(size=size, marks=marks)
