"""One request as handlers see it: its head, its body with limits, and its caller."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from libs.common.errors import InvalidArgumentError, UnavailableError
from libs.common.grpc.identity import is_sharer
from libs.http.errors import (
    AmbiguousHeadersError,
    BodyMissingError,
    BodyTooLargeError,
    MediaTypeError,
    Words,
)
from libs.http.heads import head_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Headers that nobody sends twice with a good reason, and that decide what a request means.
_ONCE = (
    *("authorization", "content-type", "content-length", "content-encoding", "host"),
    *("idempotency-key", "last-event-id", "transfer-encoding", "x-request-id"),
)
#: Bytes of a body that is read and thrown away, so that its sender hears why it was refused.
_DISCARDED = 4_194_304
#: Seconds for that.
_DISCARDING = 1.0


class ClientGoneError(Exception):
    """The caller has closed its connection: nobody waits for the answer."""


class Wire(Protocol):
    """The connection that a request came by (libs/http/connection.py)."""

    async def answer(self, head: bytes, body: bytes, *, is_last: bool) -> None:
        """Send a whole answer; the connection ends with it when it is the last."""

    @property
    def is_full(self) -> bool:
        """Tell whether so much waits to be sent that whoever sends more has to wait."""

    def watch(self, tell: Callable[[], object]) -> None:
        """Call `tell` once the other side is gone; at once when it is gone already."""

    def unwatch(self, tell: Callable[[], object]) -> None:
        """Do not call it any more."""

    def abort(self) -> None:
        """Close the connection at once, whatever waits to be sent."""


@dataclass(kw_only=True)
class Record:
    """What the log line of a request says, as far as it is known."""

    #: Method and path as they are served: GET /v1/farmers/{farmer_id}; "none" for no such path.
    route: str = "none"
    #: The SPIFFE name of the caller's token, or its address.
    identity: str = ""
    #: Why the request was refused.
    reason: str | None = None
    #: The status of the answer; 0 until it begins.
    status: int = 0


class Bodies:
    """The bytes of bodies that are held at a time: of all, and of each caller."""

    def __init__(self, *, most: int, most_of_one: int) -> None:
        """Hold at most so many bytes, and at most so many of one caller."""
        self._most = most
        self._most_of_one = most_of_one
        self._held = 0
        self._by_caller: dict[str, int] = {}

    def take(self, caller: str, size: int) -> None:
        """Count bytes that arrived; raise UnavailableError when there are too many."""
        of_one = self._by_caller.get(caller, 0) + size
        # A quarter of the room is not for poolers and owner accounts, as with calls in progress.
        room = self._most - (self._most // 4 if is_sharer(caller) else 0)
        if self._held + size > room or of_one > self._most_of_one:
            raise UnavailableError("too many bodies are read", reason="OVERLOADED", retry_after=1.0)
        self._held += size
        self._by_caller[caller] = of_one

    def give_back(self, caller: str, size: int) -> None:
        """Take bytes off the count that are held no longer."""
        self._held -= size
        left = self._by_caller.get(caller, 0) - size
        if left > 0:
            self._by_caller[caller] = left
        else:
            self._by_caller.pop(caller, None)

    @property
    def held(self) -> int:
        """Return the bytes that are held."""
        return self._held


@dataclass(kw_only=True)
class Request:
    """One request of HTTP."""

    scope: Scope
    receive: Receive
    send: Send
    #: The caller's address.
    address: str
    #: Names the request in all records.
    request_id: str
    #: Filled while the request is served.
    record: Record
    #: The headers by name in small letters; the last of several counts.
    headers: Mapping[str, str]
    #: The values of the path's variables, by name.
    variables: Mapping[str, str] = field(default_factory=dict)
    #: Puts the texts of errors into the words of those who call.
    words: Words = str
    #: Whether the connection ends with the answer: where a request ends is not sure.
    is_last: bool = False
    #: All of the body has been read, or there is none.
    _is_read: bool = False

    @property
    def method(self) -> str:
        """Return the method of HTTP."""
        method: str = self.scope["method"]
        return method

    @property
    def path(self) -> str:
        """Return the path as it was sent, without the query."""
        raw: bytes = self.scope.get("raw_path") or self.scope["path"].encode()
        return raw.decode("ascii", "replace")

    @property
    def query(self) -> str:
        """Return the query as it was sent."""
        raw: bytes = self.scope["query_string"]
        return raw.decode("ascii", "replace")

    def check_head(self) -> None:
        """Raise AmbiguousHeadersError for a head that two programs may read in two ways.

        Its request is the last one of the connection.
        """
        try:
            self._check_head()
        except AmbiguousHeadersError:
            self.is_last = True
            raise

    def _check_head(self) -> None:
        if len(self.headers) < len(self.scope["headers"]):
            names = [name.decode("latin-1") for name, _ in self.scope["headers"]]
            twice = [name for name in _ONCE if names.count(name) > 1]
            if twice:
                raise AmbiguousHeadersError.of(twice[0], "is given more than once")
        coding = self.headers.get("transfer-encoding")
        if coding is not None:
            if "content-length" in self.headers:
                raise AmbiguousHeadersError.of("content-length", "contradicts transfer-encoding")
            if coding.strip().lower() != "chunked" or self.scope["http_version"] != "1.1":
                told = "must be chunked, and only in HTTP/1.1"
                raise AmbiguousHeadersError.of("transfer-encoding", told)
        if "host" not in self.headers and self.scope["http_version"] == "1.1":
            raise AmbiguousHeadersError.of("host", "is missing")

    @property
    def may_have_body(self) -> bool:
        """Tell whether a body is announced."""
        length = self.headers.get("content-length", "0")
        return length != "0" or "transfer-encoding" in self.headers

    def check_is_json(self) -> None:
        """Raise MediaTypeError when a body is announced that is not said to be JSON in UTF-8."""
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            raise MediaTypeError.of("content-encoding", "must be identity: nothing is unpacked")
        if not self.may_have_body:
            return
        kind, _, parameters = self.headers.get("content-type", "").partition(";")
        if kind.strip().lower() != "application/json":
            raise MediaTypeError.of("content-type", "must be application/json")
        for parameter in filter(None, (one.strip() for one in parameters.split(";"))):
            name, _, value = parameter.partition("=")
            is_charset = name.strip().lower() == "charset"
            if is_charset and value.strip().strip('"').lower() not in {"utf-8", "utf8"}:
                raise MediaTypeError.of("content-type", "must have the charset utf-8, or none")

    async def body(self, bodies: Bodies, caller: str, *, limit: int, seconds: float) -> bytes:
        """Read the body; its bytes are counted in `bodies` until they are given back there.

        Raise BodyTooLargeError, BodyMissingError, UnavailableError or ClientGoneError.
        """
        self._check_length(limit)
        if not self.may_have_body:
            self._is_read = True
            return b""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(seconds):
                while not self._is_read:
                    part = await self._part()
                    _check_size(size + len(part), limit)
                    bodies.take(caller, len(part))
                    size += len(part)
                    parts.append(part)
        except BaseException as error:
            bodies.give_back(caller, size)
            if isinstance(error, TimeoutError):
                raise BodyMissingError(f"the body did not arrive in {seconds:g} s") from None
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_length(self, limit: int) -> None:
        length = self.headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise InvalidArgumentError.of("content-length", "must be a number")
        _check_size(int(length[:19]), limit)

    async def _part(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        self._is_read = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    @property
    def wire(self) -> Wire:
        """Return the connection that the request came by."""
        wire: Wire = self.scope["state"]["connection"]
        return wire

    @contextmanager
    def watched(self, tell: Callable[[], object]) -> Iterator[None]:
        """Call `tell` when the caller closes the connection while the block runs."""
        self.wire.watch(tell)
        try:
            yield
        finally:
            self.wire.unwatch(tell)

    def abort(self) -> None:
        """Close the connection at once, whatever waits to be sent."""
        self.wire.abort()

    async def discard(self) -> bool:
        """Read a short body to its end, and throw it away; tell whether the end was reached."""
        if self._is_read or not self.may_have_body:
            return True
        if "expect" in self.headers:  # it waits for our word before it sends any
            return False
        left = _DISCARDED
        try:
            async with asyncio.timeout(_DISCARDING):
                while not self._is_read and left > 0:
                    left -= len(await self._part())
        except (TimeoutError, ClientGoneError):
            return False
        return self._is_read


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise BodyTooLargeError.of("body", f"must have {limit} bytes at most")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer of HTTP that is all there."""

    #: Status.
    status: int
    #: The body.
    body: bytes
    #: Its media type.
    media_type: str = "application/json"
    #: Further headers.
    headers: tuple[tuple[str, str], ...] = ()

    async def send(self, request: Request) -> None:
        """Send it. The connection ends with it when the request's body was not read."""
        head = b"%bcontent-length: %d\r\nx-request-id: %b\r\n" % (
            head_of(self.status, self.media_type, self.headers),
            len(self.body),
            request.request_id.encode(),
        )
        is_last = request.is_last or not await request.discard()
        request.record.status = self.status
        await request.wire.answer(head, self.body, is_last=is_last)
