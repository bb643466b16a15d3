"""Streams as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from libs.common.errors import PoolError
from libs.http.errors import problem_of
from libs.http.request import Request
from libs.http.strict_json import to_json

#: Seconds between two looks whether the caller's token still counts.
_CHECKED = 50.0
#: What a reader that takes nothing is waited for, in signs of life.
_STUCK = 2
#: After a second a browser opens a stream again that has ended.
_RETRY = b"retry: 1000\n\n"
_SIGN_OF_LIFE = b": \n\n"

_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        # A proxy must not collect events before it passes them on.
        (b"x-accel-buffering", b"no"),
    ],
}


class Event(Protocol):
    """One event of a stream."""

    @property
    def text(self) -> bytes:
        """Return the event as a stream has it, with the empty line that ends it."""


class EventReader(Protocol):
    """One reader of a stream: the events that it has not taken yet."""

    @property
    def is_closed(self) -> bool:
        """Tell whether there is nobody who reads."""

    def close(self) -> None:
        """End the reader: there is nobody who reads."""

    async def next(self, seconds: float) -> Event | None:
        """Take the next event; None when there is none within the time, or nobody reads.

        Raise the PoolError that ends the stream.
        """


async def send_events(
    request: Request,
    reader: EventReader,
    *,
    heartbeat: float,
    check: Callable[[], Awaitable[object]],
) -> None:
    """Send a reader's events until the caller is gone, or an error ends the stream.

    `check` raises the PoolError that ends it when the caller's token does not count any more. An
    error is the last event: its name is `error`, its data a problem.
    """
    try:
        with request.watched(reader.close):
            await _send(request, reader, heartbeat, check)
    except PoolError as error:
        request.record.reason = error.reason
        problem = problem_of(
            error, instance=request.path, request_id=request.request_id, words=request.words
        )
        with contextlib.suppress(TimeoutError):
            await _part(request, b"event: error\ndata: %b\n\n" % to_json(problem), heartbeat)
    except TimeoutError:  # nobody takes anything
        request.abort()
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STUCK * heartbeat):
            await request.send({"type": "http.response.body", "body": b""})


async def _send(
    request: Request, reader: EventReader, heartbeat: float, check: Callable[[], Awaitable[object]]
) -> None:
    """Send events until nobody reads; raise the PoolError that ends the stream."""
    loop = asyncio.get_running_loop()
    checked_at = loop.time()
    await request.send(_HEAD)
    await _part(request, _RETRY, heartbeat)
    while not reader.is_closed:
        event = await reader.next(heartbeat)
        if reader.is_closed:
            break
        if loop.time() - checked_at >= _CHECKED:
            await check()
            checked_at = loop.time()
        if event is None:
            await _part(request, _SIGN_OF_LIFE, heartbeat)
        else:
            await _part(request, event.text, heartbeat)


async def _part(request: Request, text: bytes, heartbeat: float) -> None:
    """Send a part of the stream; raise TimeoutError when nothing is taken on the other side."""
    part = {"type": "http.response.body", "body": text, "more_body": True}
    if not request.wire.is_full:  # it is taken at once, and needs no timer
        await request.send(part)
        return
    async with asyncio.timeout(_STUCK * heartbeat):
        await request.send(part)
