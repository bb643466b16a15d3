"""Heads and bodies that two programs may read in two ways, written byte by byte.

Each case carries a request that would register a pooler, in a place where a strict reader sees no
request, or one that is not the caller's to make. Afterwards no such pooler may be there. Sound
requests go the same way, and do register: so the cases fail for what is odd about them alone.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stellar_sdk import Keypair

from trials.security.gateway.ways import Caller

#: Seconds in which a connection has to be answered, or closed.
_PATIENCE = 15.0
#: Seconds in which a second answer would follow the first one.
_QUIET = 1.5
#: Connections at a time.
_PARALLEL = 24
#: Bytes of an answer that are read at most.
_MOST = 1 << 20
#: Statuses that refuse what is wrong with a request.
_REFUSALS = frozenset({400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 426, 431, 501, 505})
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is sent over one connection."""

    #: What is odd about it.
    name: str
    #: The bytes.
    sent: bytes
    #: Whether it is sound: it is answered, and registers its pooler.
    is_sound: bool = False
    #: Whether a first answer of success is as it should be: what is odd comes after it.
    may_succeed: bool = False


@dataclass(frozen=True, kw_only=True)
class Smuggled:
    """What became of a case."""

    case: Case
    #: Statuses of the answers; none when the connection was closed.
    statuses: Sequence[int]
    #: Whether its pooler was registered.
    is_registered: bool

    @property
    def failures(self) -> list[str]:
        """Return what is wrong, in words."""
        told = ", ".join(map(str, self.statuses)) or "closed"
        if self.case.is_sound:
            is_well = self.is_registered and self.statuses[:1] == [200]
            return [] if is_well else [f"a sound request ({self.case.name}) was answered {told}"]
        found = []
        if self.is_registered:
            found.append(f"{self.case.name}: a request was smuggled through")
        first = self.statuses[:1]
        if any(status < 400 for status in first) and not self.case.may_succeed:
            found.append(f"{self.case.name}: answered {told}")
        if not {status for status in self.statuses if status >= 400} <= _REFUSALS:
            found.append(f"{self.case.name}: answered {told}")
        return found


class Writer:
    """Writes the bytes of requests, each of which would register a pooler of its own."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.authorization = b"Authorization: Bearer " + self._token

    def body(self, name: str) -> bytes:
        """Return the body that registers a pooler of this name."""
        content = {"name": name, "publicKey": Keypair.random().public_key}
        return json.dumps(content).encode()

    def request(
        self,
        name: str,
        *more: bytes,
        line: bytes = b"POST /v1/poolers HTTP/1.1",
        host: bytes = b"Host: x",
        length: bool = True,
        authorization: bytes | None = None,
        end: bytes = b"\r\n",
    ) -> bytes:
        """Return a registration; `more` are headers that stand last."""
        body = self.body(name)
        given = self.authorization if authorization is None else authorization
        head = [line, host, b"Content-Type: application/json", given]
        if length:
            head.append(b"Content-Length: %d" % len(body))
        return end.join([*filter(None, head), *more, b"", b""]) + body

    def chunked(self, name: str, *more: bytes, size: bytes | None = None) -> bytes:
        """Return a registration whose body comes in chunks; `size` is what the chunk says."""
        whole = self.request(name, b"Transfer-Encoding: chunked", *more, length=False)
        head, _, body = whole.partition(b"\r\n\r\n")
        chunk = (b"%x" % len(body) if size is None else size) + b"\r\n" + body + b"\r\n0\r\n\r\n"
        return head + b"\r\n\r\n" + chunk

    def hidden(self, name: str, *head: bytes, line: bytes = b"POST /v1/poolers HTTP/1.1") -> bytes:
        """Return a request whose headers are these, and that a whole registration follows."""
        return b"\r\n".join([line, b"Host: x", *head, b"", b""]) + self.request(name)


def cases(writer: Writer) -> list[Case]:
    """Return all cases; each name is also that of its pooler."""
    return [
        *_sound(writer),
        *_lengths(writer),
        *_chunks(writer),
        *_headers(writer),
        *_lines(writer),
        *_unread(writer),
    ]


def _sound(w: Writer) -> Iterator[Case]:
    made: dict[str, Callable[[str], bytes]] = {
        "a length": w.request,
        "chunks": w.chunked,
        "HTTP/1.0": lambda name: w.request(name, line=b"POST /v1/poolers HTTP/1.0"),
        "two at once": lambda name: b"GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n" + w.request(name),
    }
    for name, make in made.items():
        yield Case(name=name, sent=make(name), is_sound=True)


def _lengths(w: Writer) -> Iterator[Case]:
    json_type = b"Content-Type: application/json"
    both = (w.authorization, json_type, b"Content-Length: 5", b"Transfer-Encoding: chunked")
    name = "a length and chunks"
    end_of_chunks = b"0\r\n\r\n"
    head = b"\r\n".join([b"POST /v1/poolers HTTP/1.1", b"Host: x", *both, b"", b""])
    yield Case(name=name, sent=head + end_of_chunks + w.request(name))
    name = "chunks and a length"
    head = b"\r\n".join([b"POST /v1/poolers HTTP/1.1", b"Host: x", *both[::-1], b"", b""])
    yield Case(name=name, sent=head + end_of_chunks + w.request(name))
    texts = (b"+%d", b"-%d", b"0x%d", b"%d, %d", b"%d %d", b"%d.0", b"\xd9\xa0%d", b"%d;x", b"")
    for text in texts:
        name = f"the length {text.decode('latin-1')!r}"
        length = text.replace(b"%d", b"%d" % len(w.body(name)))
        yield Case(name=name, sent=w.request(name, b"Content-Length: " + length, length=False))
    name = "two lengths"
    yield Case(name=name, sent=w.request(name, b"Content-Length: 2"))
    name = "the same length twice"
    length = b"Content-Length: %d" % len(w.body(name))
    yield Case(name=name, sent=w.request(name, length))
    name = "a length of more digits than there are numbers"
    yield Case(name=name, sent=w.request(name, b"Content-Length: " + b"9" * 5_000, length=False))


def _chunks(w: Writer) -> Iterator[Case]:
    for coding in (
        *(b"xchunked", b"gzip, chunked", b"chunked, identity", b"identity", b"chunked;x"),
        *(b"chunked\x0b", b'"chunked"', b"chunked, chunked", b""),
    ):
        name = f"the coding {coding.decode('latin-1')!r}"
        whole = w.chunked(name).replace(b"Encoding: chunked", b"Encoding: " + coding)
        yield Case(name=name, sent=whole)
    for size in (b"-1", b"+5", b"0x5", b"5_0", b"f" * 17, b"", b"zz", b"5\n"):
        name = f"a chunk of the size {size.decode('latin-1')!r}"
        yield Case(name=name, sent=w.chunked(name, size=size))
    name = "a chunk that is longer than it says"
    yield Case(name=name, sent=w.chunked(name, size=b"%x" % (len(w.body(name)) - 3)))
    name = "a chunk with a megabyte of remarks"
    size = b"%x;x=" % len(w.body(name)) + b"y" * 1_000_000
    yield Case(name=name, sent=w.chunked(name, size=size))
    name = "chunks in HTTP/1.0"
    yield Case(name=name, sent=w.chunked(name).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    name = "a token in the trailer"
    late = w.chunked(name).replace(w.authorization + b"\r\n", b"")
    trailer = b"0\r\n" + w.authorization + b"\r\n\r\n"
    yield Case(name=name, sent=late.removesuffix(b"0\r\n\r\n") + trailer)


def _headers(w: Writer) -> Iterator[Case]:
    twice = {
        "two tokens": w.authorization,
        "two tokens, one of them wrong": b"Authorization: Bearer kp_" + b"x" * 43,
        "two hosts": b"Host: y",
        "two media types": b"Content-Type: application/json",
        "two codings": b"Content-Encoding: identity\r\nContent-Encoding: identity",
    }
    for name, more in twice.items():
        yield Case(name=name, sent=w.request(name, more))
    name = "two names of a request"
    keys = (b"Idempotency-Key: a", b"Idempotency-Key: b")
    yield Case(name=name, sent=w.request(name, *keys))
    for name, given in {
        "a token on a second line": w.authorization.replace(b" kp_", b"\r\n kp_"),
        "a space before the colon": w.authorization.replace(b":", b" :"),
        "a NUL in a name": w.authorization.replace(b"Auth", b"Auth\0"),
        "a NUL in a value": w.authorization + b"\0",
        "a CR in a value": w.authorization + b"\rX: y",
        "no colon": w.authorization.replace(b":", b""),
        "a name that is none": b"(" + w.authorization,
        "an underscore for a dash": b"X: y\r\nAuthorization_: " + w.authorization[15:],
        "a space before a name": b" " + w.authorization,
    }.items():
        yield Case(name=name, sent=w.request(name, authorization=given))
    name = "no host"
    yield Case(name=name, sent=w.request(name, host=b""))
    name = "a coding on a second line"
    whole = w.chunked(name).replace(b"Encoding: chunked", b"Encoding:\r\n chunked")
    yield Case(name=name, sent=whole)
    name = "ten thousand headers"
    yield Case(name=name, sent=w.request(name, *(b"X-%d: y" % number for number in range(10_000))))
    name = "a head without an end"
    whole = w.request(name)
    yield Case(name=name, sent=whole.partition(b"\r\n\r\n")[0] + b"\r\nX: " + b"y" * 200_000)
    name = "another method in a header"
    overridden = (b"X-HTTP-Method-Override: POST", b"X-Method-Override: POST", w.authorization)
    sent = w.hidden(name, *overridden, b"Connection: close", line=b"GET /v1/poolers HTTP/1.1")
    yield Case(name=name, sent=sent, may_succeed=True)


def _lines(w: Writer) -> Iterator[Case]:
    for name, line in {
        "the address of another server": b"POST http://other/v1/poolers HTTP/1.1",
        "an address without a path": b"POST other:80 HTTP/1.1",
        "a tunnel": b"CONNECT x:443 HTTP/1.1",
        "HTTP/0.9": b"POST /v1/poolers",
        "HTTP/2.0": b"POST /v1/poolers HTTP/2.0",
        "HTTP/1.10": b"POST /v1/poolers HTTP/1.10",
        "http/1.1 in small letters": b"POST /v1/poolers http/1.1",
        "a method in small letters": b"post /v1/poolers HTTP/1.1",
        "a method that nobody knows": b"REGISTER /v1/poolers HTTP/1.1",
        "a tab": b"POST\t/v1/poolers HTTP/1.1",
        "a NUL in the path": b"POST /v1/poolers\0 HTTP/1.1",
        "bytes that are no ASCII in the path": b"POST /v1/poolers\xff HTTP/1.1",
        "a fragment": b"POST /v1/poolers#x HTTP/1.1",
        "dots in the path": b"POST /v1/farmers/../poolers HTTP/1.1",
        "an empty segment": b"POST /v1//poolers HTTP/1.1",
        "two slashes first": b"POST //v1/poolers HTTP/1.1",
        "a slash at the end": b"POST /v1/poolers/ HTTP/1.1",
        "an escaped slash": b"POST /v1%2fpoolers HTTP/1.1",
        "an escaped letter": b"POST /v1/%70oolers HTTP/1.1",
        "a parameter of the path": b"POST /v1/poolers;x=y HTTP/1.1",
        "large letters in the path": b"POST /V1/POOLERS HTTP/1.1",
        "a line of 100,000 bytes": b"POST /v1/poolers?x=" + b"y" * 100_000 + b" HTTP/1.1",
    }.items():
        yield Case(name=name, sent=w.request(name, line=line))
    name = "a path of another method"
    yield Case(name=name, sent=w.request(name, line=b"PUT /v1/poolers HTTP/1.1"))
    name = "ends of lines without CR, in a head"
    sent = w.request(name, b"X: y\n\nGET /v1/info HTTP/1.1\nY: z", authorization=b"Z: z")
    yield Case(name=name, sent=sent)
    for name, upgrade in {
        "an upgrade to HTTP/2": b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "an upgrade to WebSocket": b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    }.items():
        head = b"GET /v1/info HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n" + upgrade
        preface = b"\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        yield Case(name=name, sent=head + preface + w.request(name), may_succeed=True)
    name = "TLS where none is spoken"
    yield Case(name=name, sent=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + w.request(name))


def _unread(w: Writer) -> Iterator[Case]:
    """Yield refusals whose body is a request: nobody may take it for the next one."""
    lines = {
        "no token": b"POST /v1/poolers HTTP/1.1",
        "no such path": b"POST /v1/nothing HTTP/1.1",
        "no such method": b"PUT /v1/poolers HTTP/1.1",
        "a body of GET": b"GET /v1/info HTTP/1.1",
        "a page": b"GET /docs HTTP/1.1",
        "a path of the seed": b"POST /plant HTTP/1.1",
        "a stream of events": b"GET /v1/blocks:watch HTTP/1.1",
    }
    for what, line in lines.items():
        for kind in ("a length", "chunks", "a length, and it waits for a word"):
            name = f"a body that is a request: {what}, {kind}"
            inner = w.request(name)
            if kind == "chunks":
                head, body = b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n"
                content = body % (len(inner), inner)
            else:
                waits = b"\r\nExpect: 100-continue" if "waits" in kind else b""
                head, content = b"Content-Length: %d" % len(inner) + waits, inner
            sent = b"\r\n".join([line, b"Host: x", head, b"", content])
            yield Case(name=name, sent=sent, may_succeed=what in {"a page", "a stream of events"})
    name = "a body that is a request, after five megabytes"
    inner = b" " * 5_000_000 + w.request(name)
    head = b"POST /v1/poolers HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    yield Case(name=name, sent=head % len(inner) + inner)


async def smuggle(host: str, port: int, caller: Caller, token: str) -> list[Smuggled]:
    """Send every case; return what became of it."""
    made = cases(Writer(token))
    places = asyncio.Semaphore(_PARALLEL)

    async def send(case: Case) -> list[int]:
        async with places:
            return await _send(host, port, case)

    statuses = await asyncio.gather(*map(send, made))
    names = await _names(caller, token)
    return [
        Smuggled(case=case, statuses=told, is_registered=case.name in names)
        for case, told in zip(made, statuses, strict=True)
    ]


async def _send(host: str, port: int, case: Case) -> list[int]:
    """Send a case, and return the statuses of its answers."""
    answer = b""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(case.sent)
    with contextlib.suppress(OSError):
        while len(answer) < _MOST:
            # A sound connection stays open when its request was answered.
            part = await _part(reader, _QUIET if answer else _PATIENCE)
            answer += part
            if not part:
                break
    writer.transport.abort()
    return [int(status) for status in _STATUS.findall(answer)]


async def _part(reader: asyncio.StreamReader, seconds: float) -> bytes:
    """Return the next bytes; none when nothing comes in time, or nothing more comes at all."""
    try:
        async with asyncio.timeout(seconds):
            return await reader.read(65_536)
    except TimeoutError:
        return b""


async def _names(caller: Caller, token: str) -> set[str]:
    """Return the names of all poolers."""
    found: set[str] = set()
    page = ""
    while True:
        path = f"/v1/poolers?pageSize=1000&pageToken={page}"
        told = (await caller.ask("GET", path, token=token, timeout=_PATIENCE)).json()
        found |= {pooler["name"] for pooler in told["poolers"]}
        page = told["nextPageToken"]
        if not page:
            return found
