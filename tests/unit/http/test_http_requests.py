"""One request: a head that reads in one way only, a body with limits, and what is left unread."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from libs.common.errors import InvalidArgumentError, PoolError, UnavailableError
from libs.http.errors import (
    AmbiguousHeadersError,
    BodyMissingError,
    BodyTooLargeError,
    MediaTypeError,
)
from libs.http.request import Bodies, ClientGoneError, Record, Reply, Request

Header = tuple[str, str]
POOLER = "spiffe://kalepool/pooler/0190a5f0-0000-7000-8000-000000000001"


class Wire:
    """A connection that notes the answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[bytes, bytes, bool]] = []

    async def answer(self, head: bytes, body: bytes, *, is_last: bool) -> None:
        self.answers.append((head, body, is_last))


class Sender:
    """The parts of a body as they arrive; after them nothing does."""

    def __init__(self, *parts: bytes | None) -> None:
        #: None stands for a caller that goes away.
        self.left = list(parts)

    async def __call__(self) -> dict[str, Any]:
        if not self.left:
            await asyncio.Event().wait()
        part = self.left.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(self.left)}


def request_of(
    *headers: Header, parts: Sequence[bytes | None] = (), version: str = "1.1", host: str = "pool"
) -> Request:
    own = [*headers, *([("host", host)] if host else [])]
    return Request(
        scope={
            "method": "POST",
            "path": "/v1/ü",
            "raw_path": b"/v1/%C3%BC",
            "query_string": b"a=1",
            "http_version": version,
            "headers": [(name.encode(), value.encode()) for name, value in own],
            "state": {"connection": Wire()},
        },
        receive=Sender(*parts),
        send=None,  # type: ignore[arg-type]
        address="192.0.2.1",
        request_id="id-1",
        record=Record(),
        headers=dict(own),
    )


def length(size: int) -> Header:
    return ("content-length", str(size))


CHUNKED = ("transfer-encoding", "chunked")


def field_of(error: PoolError) -> str:
    return error.violations[0].field


def test_a_request_is_told_by_what_was_sent() -> None:
    request = request_of()
    assert (request.method, request.path, request.query) == ("POST", "/v1/%C3%BC", "a=1")
    del request.scope["raw_path"]
    assert request.path == "/v1/��"


# The head -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("authorization", "content-type", "content-length", "content-encoding", "host"),
        *("idempotency-key", "last-event-id", "transfer-encoding", "x-request-id"),
    ],
)
def test_what_decides_stands_once(name: str) -> None:
    request = request_of((name, "1"), (name, "1"), host="" if name == "host" else "pool")
    with pytest.raises(AmbiguousHeadersError) as caught:
        request.check_head()
    assert field_of(caught.value) == name
    assert request.is_last


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2")],
        [CHUNKED],
        [("transfer-encoding", " Chunked ")],
        [length(7)],
    ],
)
def test_a_head_that_reads_in_one_way_is_taken(headers: list[Header]) -> None:
    request = request_of(*headers)
    request.check_head()
    assert not request.is_last


@pytest.mark.parametrize(
    ("headers", "more", "field"),
    [
        ([CHUNKED, length(7)], {}, "content-length"),
        ([("transfer-encoding", "gzip, chunked")], {}, "transfer-encoding"),
        ([CHUNKED], {"version": "1.0"}, "transfer-encoding"),
        ([], {"host": ""}, "host"),
    ],
)
def test_a_head_that_others_may_read_otherwise_is_refused_and_the_last(
    headers: list[Header], more: dict[str, str], field: str
) -> None:
    request = request_of(*headers, **more)  # type: ignore[arg-type]
    with pytest.raises(AmbiguousHeadersError) as caught:
        request.check_head()
    assert field_of(caught.value) == field
    assert request.is_last


def test_http_1_0_needs_no_host() -> None:
    request_of(version="1.0", host="").check_head()


@pytest.mark.parametrize(
    ("headers", "may"), [([], False), ([length(0)], False), ([length(1)], True), ([CHUNKED], True)]
)
def test_a_body_is_announced(headers: list[Header], *, may: bool) -> None:
    assert request_of(*headers).may_have_body is may


# JSON ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        *("application/json", " Application/JSON ", "application/json;charset=utf-8"),
        *('application/json; charset="UTF-8"', "application/json; Charset = utf8 ;"),
        "application/json; profile=latin-1",
    ],
)
def test_json_in_utf_8_is_taken(kind: str) -> None:
    request_of(
        length(2), ("content-type", kind), ("content-encoding", " Identity ")
    ).check_is_json()


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ([length(2)], "content-type"),
        ([CHUNKED], "content-type"),
        ([length(2), ("content-type", "text/json")], "content-type"),
        ([length(2), ("content-type", "application/json; charset=latin-1")], "content-type"),
        ([length(2), ("content-type", "application/json; a=b; charset=utf-16")], "content-type"),
        ([("content-encoding", "gzip")], "content-encoding"),
    ],
)
def test_what_is_not_said_to_be_json_is_refused(headers: list[Header], field: str) -> None:
    with pytest.raises(MediaTypeError) as caught:
        request_of(*headers).check_is_json()
    assert field_of(caught.value) == field


def test_no_body_needs_no_type() -> None:
    request_of(("content-type", "text/plain")).check_is_json()


# The body -----------------------------------------------------------------------------------------


async def read(
    request: Request, bodies: Bodies, *, limit: int = 10, seconds: float = 60.0
) -> bytes:
    return await request.body(bodies, "ann", limit=limit, seconds=seconds)


def room() -> Bodies:
    return Bodies(most=100, most_of_one=100)


@pytest.mark.parametrize("parts", [[b"abcdefghij"], [b"abc", b"", b"defghij"]])
@pytest.mark.parametrize("announced", [length(10), CHUNKED])
async def test_a_body_is_read_and_counted_until_it_is_given_back(
    parts: list[bytes], announced: Header
) -> None:
    bodies = room()
    assert await read(request_of(announced, parts=parts), bodies) == b"abcdefghij"
    assert bodies.held == 10
    bodies.give_back("ann", 10)
    assert bodies.held == 0


async def test_no_body_is_empty() -> None:
    request, bodies = request_of(), room()
    assert await read(request, bodies) == b""
    assert (bodies.held, await request.discard()) == (0, True)


@pytest.mark.parametrize(
    ("announced", "parts"),
    [(length(11), [b""]), (("content-length", "9" * 30), [b""]), (CHUNKED, [b"abcdefghij", b"k"])],
)
async def test_a_body_that_is_too_long_is_refused(announced: Header, parts: list[bytes]) -> None:
    bodies = room()
    with pytest.raises(BodyTooLargeError, match="10 bytes at most") as caught:
        await read(request_of(announced, parts=parts), bodies)
    assert (field_of(caught.value), bodies.held) == ("body", 0)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "x", "²", "1 "])
async def test_a_length_is_a_number(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await read(request_of(("content-length", text)), room())
    assert field_of(caught.value) == "content-length"


async def test_a_body_that_does_not_come_is_missing_and_not_counted() -> None:
    bodies, request = room(), request_of(CHUNKED)

    async def part() -> dict[str, Any]:
        if not sent:
            sent.append(True)
            return {"type": "http.request", "body": b"abc", "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    sent: list[bool] = []
    request.receive = part
    with pytest.raises(BodyMissingError, match=r"in 0\.01 s"):
        await read(request, bodies, seconds=0.01)
    assert bodies.held == 0


async def test_who_goes_away_has_no_body() -> None:
    bodies = room()
    with pytest.raises(ClientGoneError):
        await read(request_of(CHUNKED, parts=[b"abc", None]), bodies)
    assert bodies.held == 0


# How much is held ---------------------------------------------------------------------------------


def test_all_and_each_have_a_limit() -> None:
    bodies = Bodies(most=10, most_of_one=6)
    bodies.take("ann", 6)
    for caller, size in (("ann", 1), ("bob", 5)):
        with pytest.raises(UnavailableError) as caught:
            bodies.take(caller, size)
        assert (caught.value.reason, caught.value.retry_after) == ("OVERLOADED", 1.0)
    bodies.take("bob", 4)
    assert bodies.held == 10
    bodies.give_back("ann", 2)
    bodies.take("ann", 2)
    bodies.give_back("ann", 6)
    bodies.take("ann", 6)
    assert bodies.held == 10


def test_a_quarter_is_not_for_poolers() -> None:
    bodies = Bodies(most=8, most_of_one=8)
    with pytest.raises(UnavailableError):
        bodies.take(POOLER, 7)
    bodies.take(POOLER, 6)
    bodies.take("ann", 2)
    assert bodies.held == 8


# What is left -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "parts", "is_read"),
    [
        ([], [], True),
        ([length(3)], [b"abc"], True),
        ([CHUNKED], [b"abc", b"def"], True),
        ([length(3), ("expect", "100-continue")], [b"abc"], False),
        ([CHUNKED], [b"abc", None], False),
        ([CHUNKED], [bytes(4_194_303), b"a", b"b"], False),
        ([CHUNKED], [bytes(4_194_303), b"a"], True),
    ],
)
async def test_a_short_rest_is_read_to_its_end(
    headers: list[Header], parts: list[bytes | None], *, is_read: bool
) -> None:
    request = request_of(*headers, parts=parts)
    assert await request.discard() is is_read


@pytest.mark.parametrize(
    ("parts", "is_sure", "is_last"),
    [([b"abc"], True, False), ([b"abc", None], True, True), ([b"abc"], False, True)],
)
async def test_the_connection_ends_where_the_next_request_cannot_be_found(
    parts: list[bytes | None], *, is_sure: bool, is_last: bool
) -> None:
    request = request_of(CHUNKED, parts=parts)
    request.is_last = not is_sure
    await Reply(status=404, body=b"{}", headers=(("x-a", "b"),)).send(request)
    ((head, body, last),) = request.wire.answers  # type: ignore[attr-defined]
    assert (body, last, request.record.status) == (b"{}", is_last, 404)
    lines = head.split(b"\r\n")
    assert lines[:2] == [b"HTTP/1.1 404 Not Found", b"content-type: application/json"]
    assert {b"x-a: b", b"content-length: 2", b"x-request-id: id-1"} <= set(lines)
