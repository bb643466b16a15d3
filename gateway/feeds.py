"""Streams of the services, shared: one call of a service for all who read the same.

A reader who comes gets the newest event at once, and whoever resumes the ones that it missed.
Events with the same cursor replace each other while they wait: a slow reader gets the newest state.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.message import Message

from gateway.backends import Backends, Caller
from gateway.bindings import Method, Resume
from gateway.writer import message_to_json
from libs.common.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    PoolError,
    UnavailableError,
)
from libs.common.log import get_logger
from libs.common.singleflight import SingleFlight
from libs.http.errors import StreamTooSlowError
from libs.http.waiting import WaitingEvents

log = get_logger(__name__)

#: Events with different cursors that may wait for one reader.
_WAITING = 600
#: Seconds for which a stream that broke is opened again and again before its readers are told.
_PATIENCE = 30.0
#: Seconds between two tries at first, and at most.
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 2.0
#: Seconds in which the events that a reader missed have to be there.
_CATCHING_UP = 10.0
#: Calls at a time that fetch those.
_CATCH_UPS = 16
#: The largest cursor that there is.
_LARGEST = 2**31 - 1
#: Errors that pass by themselves.
_PASSING = (UnavailableError, DeadlineExceededError)

#: Returns for whom a service is called; it is asked again whenever the call is made again.
WhoCalls = Callable[[], Awaitable[Caller]]
#: Path of the method, request, and in whose name.
_Key = tuple[str, bytes, str]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a stream."""

    #: What a reader goes on after.
    cursor: int
    #: Tells changes of the same thing apart.
    change: int
    #: The response as JSON.
    data: bytes

    @property
    def id(self) -> str:
        """Return the event's id, from which `parse_id` reads the cursor."""
        return f"{self.cursor}.{self.change}"

    @cached_property
    def text(self) -> bytes:
        """Return the event as a stream of server-sent events has it; made once for all readers."""
        return b"id: %b\ndata: %b\n\n" % (self.id.encode(), self.data)


def parse_id(text: str) -> int:
    """Return the cursor in the id of an event; raise InvalidArgumentError naming Last-Event-ID."""
    cursor, dot, change = text.partition(".")
    digits = cursor if not dot else cursor + change
    is_id = digits.isascii() and digits.isdigit() and len(cursor) <= 10 and len(change) <= 20
    if not is_id or int(cursor) > _LARGEST:
        raise InvalidArgumentError.of("Last-Event-ID", "is no id of an event of this stream")
    return int(cursor)


def event_of(resume: Resume, response: Message) -> Event:
    """Return the event of a response."""
    return Event(
        cursor=_number_at(response, resume.cursor),
        change=_number_at(response, resume.change),
        data=message_to_json(response),
    )


def _number_at(message: Any, path: tuple[str, ...]) -> int:
    for name in path:
        message = getattr(message, name)
    return int(message)


class Reader(WaitingEvents[Event]):
    """One reader of a feed: the events that it has not taken yet, by their cursors."""

    def put(self, event: Event) -> None:
        """Let an event wait; the one before it with the same cursor goes."""
        if self._error is not None:
            return
        self._waiting.pop(event.cursor, None)
        self._waiting[event.cursor] = event
        if len(self._waiting) > _WAITING:
            self.fail(StreamTooSlowError("events came faster than they were taken; resume"))
        self._wake.set()

    def put_before(self, events: Sequence[Event]) -> None:
        """Let events wait before all others."""
        self._waiting = {event.cursor: event for event in events} | self._waiting
        self._wake.set()

    async def first(self, seconds: float) -> Event:
        """Return the first event without taking it; raise the error that came in its place."""
        try:
            async with asyncio.timeout(seconds):
                await self._something()
        except TimeoutError:
            raise UnavailableError("the stream has nothing yet", retry_after=1.0) from None
        if self._error is not None:
            raise self._error
        return next(iter(self._waiting.values()))


class _Feed:
    """One call of a service, for all who read the same."""

    def __init__(
        self, backends: Backends, method: Method, request: Message, who_calls: WhoCalls
    ) -> None:
        self._backends = backends
        self.method = method
        self.who_calls = who_calls
        self._resume = _resume_of(method)
        self._request = request
        self.readers: set[Reader] = set()
        self.newest: Event | None = None
        #: Whether there will be no more events.
        self.is_over = False
        self.task: asyncio.Task[None] | None = None

    def join(self) -> Reader:
        """Return a new reader, who gets the newest event at once."""
        reader = Reader()
        if self.newest is not None:
            reader.put(self.newest)
        self.readers.add(reader)
        return reader

    async def run(self) -> None:
        """Read the stream, and open it again where it broke, until an error does not pass."""
        loop = asyncio.get_running_loop()
        broken_at: float | None = None
        delay = _FIRST_DELAY
        while True:
            error: PoolError = UnavailableError("the stream ended", retry_after=1.0)
            try:
                async for response in self._backends.stream(
                    self.method, self._resumed(), await self.who_calls()
                ):
                    self._take(response)
                    broken_at, delay = None, _FIRST_DELAY
            except PoolError as raised:
                error = raised
            broken_at = loop.time() if broken_at is None else broken_at
            is_hopeless = self.newest is None or loop.time() - broken_at > _PATIENCE
            if is_hopeless or not _passes(error):
                self.end(error)
                return
            log.info("stream opened again", method=self.method.path, reason=error.reason)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    def _resumed(self) -> Message:
        """Return the request for what comes after the newest event."""
        if self.newest is None:
            return self._request
        return _after(self._request, self._resume, self.newest.cursor)

    def _take(self, response: Message) -> None:
        event = event_of(self._resume, response)
        if event == self.newest:  # a sign of life
            return
        self.newest = event
        for reader in self.readers:
            reader.put(event)

    def end(self, error: PoolError) -> None:
        """Tell all readers that there is no more."""
        self.is_over = True
        for reader in self.readers:
            reader.fail(error)


class Feeds:
    """All streams that are read."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._feeds: dict[_Key, _Feed] = {}
        self._missed: SingleFlight[list[Event]] = SingleFlight()
        self._catch_ups = asyncio.Semaphore(_CATCH_UPS)

    @asynccontextmanager
    async def reading(
        self, method: Method, request: Message, *, identity: str, who_calls: WhoCalls
    ) -> AsyncIterator[Reader]:
        """Read a stream while the block runs; who asks the same in the same name shares a call.

        Raise the PoolError of the service when there is no first event.
        """
        resume = _resume_of(method)
        after: int | None = None
        if request.HasField(resume.after):
            after = getattr(request, resume.after)
            request.ClearField(resume.after)
        key = (method.path, request.SerializeToString(deterministic=True), identity)
        feed = self._feeds.get(key)
        if feed is None or feed.is_over:
            feed = self._feeds[key] = _Feed(self._backends, method, request, who_calls)
        reader = feed.join()
        if feed.task is None:
            feed.task = asyncio.create_task(feed.run())
            feed.task.add_done_callback(lambda task: self._ended(key, feed, task))
        try:
            first = await reader.first(_CATCHING_UP)
            if after is not None and first.cursor > after + 1:
                missed = await self._fetch(key, request, after, first.cursor, feed)
                reader.put_before(missed)
            yield reader
        finally:
            feed.readers.discard(reader)
            if not feed.readers and feed.task is not None:
                feed.task.cancel()
                self._forget(key, feed)

    async def aclose(self) -> None:
        """End all streams; their readers are told that the gateway stops."""
        feeds = list(self._feeds.values())
        for feed in feeds:
            feed.end(UnavailableError("the gateway stops", reason="STOPPING", retry_after=1.0))
            if feed.task is not None:
                feed.task.cancel()
        await asyncio.gather(
            *(feed.task for feed in feeds if feed.task is not None), return_exceptions=True
        )
        await self._missed.aclose()

    @property
    def calls(self) -> int:
        """Return the number of calls of services that are read."""
        return len(self._feeds)

    async def _fetch(
        self, key: _Key, request: Message, after: int, until: int, feed: _Feed
    ) -> list[Event]:
        """Return the events between two cursors, neither of them included."""
        return await self._missed.run(
            (*key, after, until), lambda: self._catch_up(request, after, until, feed)
        )

    async def _catch_up(self, request: Message, after: int, until: int, feed: _Feed) -> list[Event]:
        resume = _resume_of(feed.method)
        found: list[Event] = []
        try:
            async with self._catch_ups, asyncio.timeout(_CATCHING_UP):
                stream = self._backends.stream(
                    feed.method, _after(request, resume, after), await feed.who_calls()
                )
                async with aclosing(stream) as responses:
                    async for response in responses:
                        event = event_of(resume, response)
                        if event.cursor >= until:
                            break
                        found.append(event)
        except TimeoutError:
            raise UnavailableError("what was missed did not come", retry_after=1.0) from None
        return found

    def _ended(self, key: _Key, feed: _Feed, task: "asyncio.Task[None]") -> None:
        self._forget(key, feed)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("defect", exc_info=error)
            feed.end(InternalError("internal error; the log has the details"))

    def _forget(self, key: _Key, feed: _Feed) -> None:
        if self._feeds.get(key) is feed:
            del self._feeds[key]


def _passes(error: PoolError) -> bool:
    """Tell whether the same call may succeed a moment later, by a fresh access token."""
    return isinstance(error, _PASSING) or error.reason == "TOKEN_EXPIRED"


def _resume_of(method: Method) -> Resume:
    if method.resume is None:
        raise AssertionError(f"{method.path} is no stream")
    return method.resume


def _after(request: Message, resume: Resume, cursor: int) -> Message:
    """Return the request for what comes after a cursor."""
    asked = type(request)()
    asked.CopyFrom(request)
    setattr(asked, resume.after, cursor)
    return asked
