"""Streams of events: what they begin with, when the token is looked at, how an error ends them."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from libs.common.errors import PoolError, UnauthenticatedError
from libs.http.errors import StreamTooSlowError
from libs.http.request import Record, Request
from libs.http.sse import send_events
from libs.http.strict_json import parse

HEARTBEAT = 15.0


class Wire:
    """A connection that takes everything, unless it is full."""

    def __init__(self) -> None:
        self.is_full = False
        self.is_aborted = False
        self.messages: list[Any] = []
        self.watchers: list[Any] = []

    def watch(self, tell: Any) -> None:
        self.watchers.append(tell)

    def unwatch(self, tell: Any) -> None:
        self.watchers.remove(tell)

    def abort(self) -> None:
        self.is_aborted = True

    async def send(self, message: Any) -> None:
        self.messages.append(message)
        if self.is_full:
            await asyncio.Event().wait()

    @property
    def parts(self) -> list[bytes]:
        """What was sent after the head."""
        return [message["body"] for message in self.messages[1:]]


class Reader:
    """A reader of what a test has for it: events, pauses (None), an error, or the end."""

    def __init__(self, *found: bytes | PoolError | None) -> None:
        self.left = list(found)
        self.is_closed = False
        self.asked: list[float] = []
        #: Called before each is taken.
        self.before: Callable[[], None] = lambda: None

    def close(self) -> None:
        self.is_closed = True

    async def next(self, seconds: float) -> Any:
        self.asked.append(seconds)
        self.before()
        if not self.left:
            self.close()
            return None
        found = self.left.pop(0)
        if isinstance(found, PoolError):
            raise found
        return None if found is None else SimpleNamespace(text=found)


class Checks:
    """The looks whether a token still counts."""

    def __init__(self, error: PoolError | None = None) -> None:
        self.count = 0
        self.error = error

    async def __call__(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error


def request_by(wire: Wire) -> Request:
    return Request(
        scope={"state": {"connection": wire}, "path": "/v1/blocks:watch"},
        receive=None,  # type: ignore[arg-type]
        send=wire.send,
        address="127.0.0.1",
        request_id="id-1",
        record=Record(),
        headers={},
        words=str.upper,
    )


async def sent(reader: Reader, checks: Checks | None = None) -> tuple[Wire, Request]:
    wire = Wire()
    request = request_by(wire)
    await send_events(request, reader, heartbeat=HEARTBEAT, check=checks or Checks())
    return wire, request


async def test_a_stream_begins_at_once_and_has_a_sign_of_life_in_each_pause() -> None:
    reader = Reader(b"data: 1\n\n", None, b"data: 2\n\n")
    wire, _ = await sent(reader)
    assert wire.messages[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ],
    }
    assert wire.parts == [b"retry: 1000\n\n", b"data: 1\n\n", b": \n\n", b"data: 2\n\n", b""]
    assert all(part["type"] == "http.response.body" for part in wire.messages[1:])
    assert [part.get("more_body", False) for part in wire.messages[1:]] == [True] * 4 + [False]
    assert reader.asked == [HEARTBEAT] * 4
    assert (wire.watchers, wire.is_aborted) == ([], False)


async def test_what_comes_when_nobody_reads_is_not_sent() -> None:
    reader = Reader(b"data: 1\n\n", b"data: 2\n\n")

    def leave_before_the_second() -> None:
        if len(reader.asked) == 2:
            reader.close()

    reader.before = leave_before_the_second
    wire, _ = await sent(reader)
    assert wire.parts == [b"retry: 1000\n\n", b"data: 1\n\n", b""]


async def test_an_error_is_the_last_event() -> None:
    reader = Reader(b"data: 1\n\n", StreamTooSlowError("too slow"))
    wire, request = await sent(reader)
    assert wire.parts[1] == b"data: 1\n\n"
    assert wire.parts[-1] == b""
    told = wire.parts[2]
    assert told.startswith(b"event: error\ndata: {")
    assert told.endswith(b"}\n\n")
    problem = parse(told.removeprefix(b"event: error\ndata: "))
    names = ("reason", "detail", "instance", "requestId")
    assert {name: problem[name] for name in names} == {
        "reason": "STREAM_TOO_SLOW",
        "detail": "TOO SLOW",
        "instance": "/v1/blocks:watch",
        "requestId": "id-1",
    }
    assert request.record.reason == "STREAM_TOO_SLOW"


class Clock:
    """A clock that goes on by some seconds with each event."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(
            "libs.http.sse.asyncio.get_running_loop", lambda: SimpleNamespace(time=self.time)
        )

    def time(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds


async def test_the_token_is_looked_at_every_fifty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, checks, seen = Clock(monkeypatch), Checks(), []
    reader = Reader(*[b"data: 1\n\n"] * 12)

    def before() -> None:
        clock.go_on(12.5)
        seen.append(checks.count)

    reader.before = before
    await sent(reader, checks)
    # The counts before each event: 50 s after the beginning, and 50 s after each look.
    assert seen == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3]


async def test_a_token_that_counts_no_more_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, checks = Clock(monkeypatch), Checks(UnauthenticatedError("over"))
    reader = Reader(b"data: 1\n\n", b"data: 2\n\n")
    reader.before = lambda: clock.go_on(25.0)
    wire, request = await sent(reader, checks)
    assert wire.parts[1] == b"data: 1\n\n"
    assert b"data: 2\n\n" not in wire.parts
    assert request.record.reason == "UNAUTHENTICATED"


async def test_an_error_that_nobody_takes_is_not_waited_for() -> None:
    wire, reader = Wire(), Reader(StreamTooSlowError("too slow"))
    reader.before = lambda: setattr(wire, "is_full", True)
    request = request_by(wire)
    async with asyncio.timeout(10):
        await send_events(request, reader, heartbeat=0.01, check=Checks())
    assert request.record.reason == "STREAM_TOO_SLOW"
