"""One connection of HTTP/1.1: what a strict parser takes, with limits on what may be left out.

uvicorn reads it with httptools. Here is added what that leaves to others: a head has a size and a
time, a trailer is no head, and nothing is answered before what came first.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from libs.common.errors import InvalidArgumentError
from libs.http.errors import problem_of
from libs.http.strict_json import to_json

#: Bytes of the head of a request at most: a query may have a thousand ids.
HEAD = 65_536
#: Requests at most that may wait behind the one that is served.
_WAITING = 32
#: How many times its limit an idle connection is kept at most, by chance. Ten thousand that came at
#: once would else be closed at once, and come again at once: whoever asks then waits for seconds.
_SPREAD = 1.25
#: Versions that are spoken.
_VERSIONS = ("1.0", "1.1")


class _MalformedError(Exception):
    """What came is no request; the parser's caller answers it."""


class Connection(HttpToolsProtocol):
    """One connection, with limits on what it may leave out."""

    #: Connections at most.
    most: ClassVar[int]
    #: Seconds in which the head of a request has to come.
    head_seconds: ClassVar[float]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._patience = random.uniform(1.0, _SPREAD)
        # uvicorn counts whole seconds; the event loop takes parts of them, too.
        self.timeout_keep_alive *= self._patience  # type: ignore[assignment]
        self._head_timer: asyncio.TimerHandle | None = None
        #: Bytes of the head, and of a trailer, that is read.
        self._head_size = 0
        #: Bytes since the parser has last told of anything, and how often it has.
        self._untold, self._tellings = 0, 0
        self._is_in_head = True
        #: Whether nothing more is read: what is served is the last.
        self._is_over = False
        #: Whether the other side is gone, and who wants to hear of that.
        self._is_lost = False
        self._watchers: set[Callable[[], object]] = set()
        #: The request that is served; others may wait behind.
        self._served: RequestResponseCycle | None = None
        # Handlers find it in the state of their scope.
        self.app_state = {**self.app_state, "connection": self}

    # The connection -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or close it when there are too many (asyncio's hook)."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection (asyncio's hook)."""
        self._stop_timer()
        self._is_lost = True
        served = self._served
        if served is not None and not served.response_complete:
            # uvicorn tells the newest request alone, which may wait behind this one.
            served.disconnected = True
            served.message_event.set()
        super().connection_lost(exc)
        watchers, self._watchers = self._watchers, set()
        for tell in watchers:
            tell()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the head of a request has to be whole in time (asyncio's hook)."""
        if self._is_over:
            return
        tellings = self._tellings
        super().data_received(data)
        self._untold = len(data) + (self._untold if self._tellings == tellings else 0)
        if self._untold > HEAD and self._tellings == tellings and not self._is_over:
            self.send_400_response("too long")
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._head_timer is None and not self.transport.is_closing():
            self._await_head()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose other side takes nothing (uvicorn's hook)."""
        if self.transport.get_write_buffer_size():
            self.abort()
        else:
            super().timeout_keep_alive_handler()

    # What handlers ask for ------------------------------------------------------------------------

    async def answer(self, head: bytes, body: bytes, *, is_last: bool) -> None:
        """Send a whole answer; the connection ends with it when it is the last.

        It does what uvicorn does with the two messages of ASGI for it, at a fraction of the cost.
        `head` is without the empty line that ends it.
        """
        cycle = self._served
        if cycle is None or cycle.response_started:
            raise RuntimeError("nothing waits for an answer")
        if self.flow.write_paused and not self._is_lost:
            await self.flow.drain()
        if self._is_lost or cycle.disconnected:
            return
        cycle.keep_alive = cycle.keep_alive and not is_last
        ending = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        has_body = cycle.scope["method"] != "HEAD"
        self.transport.write(head + ending + body if has_body else head + ending)
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    @property
    def is_full(self) -> bool:
        """Tell whether so much waits to be sent that whoever sends more has to wait."""
        return self.flow.write_paused

    def watch(self, tell: Callable[[], object]) -> None:
        """Call `tell` once the other side is gone; at once when it is gone already."""
        if self._is_lost:
            tell()
            return
        # Whoever does not read does not hear of the end.
        self.flow.resume_reading()
        self._watchers.add(tell)

    def unwatch(self, tell: Callable[[], object]) -> None:
        """Do not call it any more."""
        self._watchers.discard(tell)

    def abort(self) -> None:
        """Close the connection at once, whatever waits to be sent."""
        self.transport.abort()

    # What the parser tells ------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a head (httptools' hook)."""
        self._head_size, self._is_in_head = 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the path (httptools' hook)."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after the body is none (httptools' hook)."""
        self._count(len(name) + len(value))
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Serve a request, or let it wait for those before it (httptools' hook)."""
        self._tellings += 1
        self._is_in_head = False
        if self.parser.get_http_version() not in _VERSIONS or len(self.pipeline) >= _WAITING:
            raise _MalformedError
        # Another server's address, a fragment, and `*` are not for us.
        if not self.url.startswith(b"/") or b"#" in self.url:
            raise _MalformedError
        super().on_headers_complete()
        path, _, query = self.url.partition(b"?")
        self.scope["raw_path"], self.scope["query_string"] = path, query
        self.scope["path"] = unquote(path.decode("ascii"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Serve a request, whose turn it is now (uvicorn's hook)."""
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body (httptools' hook)."""
        self._tellings += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request (httptools' hook)."""
        self._tellings += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request (uvicorn's hook)."""
        super().on_response_complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP (uvicorn's hook)."""
        self._is_over = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # it is whole, and answered; what came after it is not
                cycle.keep_alive = False
                return
            if self.pipeline or cycle.response_started:
                self.abort()
                return
        error = InvalidArgumentError("this is no HTTP", reason="MALFORMED_HTTP")
        body = to_json(problem_of(error, instance="", request_id=""))
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        )
        self.transport.write(head + body)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Serve what asks for another protocol by this one, and end with it (uvicorn's hook)."""
        self._is_over = True
        self.cycle.keep_alive = False

    def _count(self, size: int) -> None:
        self._tellings += 1
        self._head_size += size
        if self._head_size > HEAD:
            raise _MalformedError

    # Time -----------------------------------------------------------------------------------------

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds * self._patience, self.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
