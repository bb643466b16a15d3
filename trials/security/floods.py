"""Connections that wear a service out: many that say nothing, half of something, or too much.

They are made by hand, without grpc, which would behave. Each kind keeps its number of connections
open: one that the service closes is made again at once.
"""

import asyncio
import contextlib
import multiprocessing
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from libs.common.grpc.tls import TlsFiles

#: The beginning of every connection of HTTP/2.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_END_STREAM, _END_HEADERS = 1, 4
#: Setting 4 is how much the other side may send before it is told to go on: nothing.
_NO_WINDOW = b"\0\4\0\0\0\0"
#: What a TLS client says first: the record's and the message's lengths, and no more.
_HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
#: Connections that show a certificate: as many as the firewall lets one address have, as whoever
#: has a certificate is somebody (deploy/nftables.conf).
OF_ONE_ADDRESS = 64
#: Calls that one connection makes, where it makes any.
_STREAMS = 50
#: Seconds between two looks whether a connection is still there, and before one is made again.
_PAUSE = 0.05
#: Processes that begin anew: a fork would share gRPC's threads and sockets.
_APART = multiprocessing.get_context("spawn")


def _frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    head = len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + content


def _call(stream: int, path: str) -> bytes:
    """Return the headers of a call; its request is another frame."""
    # POST and https stand in HPACK's table; the rest is written out, unindexed.
    fields = (
        *(b"\x83\x87\x04", bytes([len(path)]), path.encode()),
        *(b"\x01\x01x", b"\x0f\x10\x10application/grpc", b"\x00\x02te\x08trailers"),
    )
    return _frame(_HEADERS, _END_HEADERS, stream, b"".join(fields))


def _request(stream: int, message: bytes) -> bytes:
    return _frame(_DATA, _END_STREAM, stream, b"\0" + len(message).to_bytes(4, "big") + message)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of connection."""

    #: What it does, in words.
    name: str
    #: Whether it shows a certificate; without one it never gets as far as HTTP/2.
    has_certificate: bool
    #: What it sends at first.
    first: bytes = b""
    #: What it sends again and again, and the seconds between.
    again: bytes = b""
    pause: float = _PAUSE
    #: Whether it reads what it gets.
    reads: bool = True
    #: Whether it leaves when it has got something.
    leaves: bool = False
    #: Calls that it makes at once.
    calls: int = 0


def kinds(path: str, message: bytes) -> list[Kind]:
    """Return all kinds; `path` and `message` are a call that the certificate's holder may make."""
    begun = _PREFACE + _frame(_SETTINGS, 0, 0)
    streams = range(1, 2 * _STREAMS, 2)
    calls = b"".join(_call(stream, path) for stream in streams)
    whole = b"".join(_call(stream, path) + _request(stream, message) for stream in streams)
    closed_window = _PREFACE + _frame(_SETTINGS, 0, 0, _NO_WINDOW)
    return [
        Kind(name="says nothing", has_certificate=False),
        Kind(name="half a TLS hello", has_certificate=False, first=_HALF_HELLO),
        Kind(name="HTTP/2 without TLS", has_certificate=False, first=begun),
        Kind(name="TLS, then nothing", has_certificate=True),
        Kind(name="preface, then nothing", has_certificate=True, first=_PREFACE),
        Kind(name="settings, then nothing", has_certificate=True, first=begun),
        Kind(name="half a frame", has_certificate=True, first=begun + calls[:20]),
        Kind(
            name="calls without a request",
            has_certificate=True,
            first=begun + calls,
            calls=_STREAMS,
        ),
        Kind(
            name="answers not taken",
            has_certificate=True,
            first=closed_window + whole,
            reads=False,
            calls=_STREAMS,
        ),
        Kind(
            name="pings",
            has_certificate=True,
            first=begun,
            again=_frame(_PING, 0, 0, bytes(8)) * 100,
        ),
        Kind(
            name="empty settings",
            has_certificate=True,
            first=begun,
            again=_frame(_SETTINGS, 0, 0) * 100,
        ),
    ]


@dataclass(kw_only=True)
class Made:
    """What became of the connections of one kind."""

    #: Connections that were made, and those of them that the service has closed.
    made: int = 0
    closed: int = 0
    #: Connections that could not be made.
    refused: int = 0
    #: Most of them that were open at a time.
    most: int = 0
    open: int = field(default=0, repr=False)

    def opened(self) -> None:
        """Count one more."""
        self.made += 1
        self.open += 1
        self.most = max(self.most, self.open)


@asynccontextmanager
async def flooding(
    target: str, kind: Kind, count: int, shown: TlsFiles | None = None
) -> AsyncIterator[Made]:
    """Keep `count` connections open while the block runs; begin it when all were tried once.

    A process of its own makes them: ten thousand connections keep an event loop busy, and honest
    callers in the same one would wait for that. The counts are there when the block has ended.
    `shown` is for kinds that show a certificate.
    """
    here, there = _APART.Pipe()
    process = _APART.Process(target=_flood, args=(there, target, kind, count, shown), daemon=True)
    process.start()
    there.close()
    made = Made()
    try:
        await asyncio.to_thread(here.recv)
        yield made
        here.send(None)
        vars(made).update(vars(await asyncio.to_thread(here.recv)))
    finally:
        process.terminate()
        await asyncio.to_thread(process.join)
        here.close()


def _flood(told: Connection, target: str, kind: Kind, count: int, shown: TlsFiles | None) -> None:
    """Keep connections open, in a process of its own, until it is told to end; tell the counts."""

    async def flood() -> Made:
        async with _kept_open(target, kind, count, shown) as made:
            told.send(None)
            await asyncio.to_thread(told.recv)
        return made

    told.send(asyncio.run(flood()))


@asynccontextmanager
async def _kept_open(
    target: str, kind: Kind, count: int, shown: TlsFiles | None
) -> AsyncIterator[Made]:
    """Keep the connections open while the block runs; begin it when all were tried once."""
    host, _, port = target.rpartition(":")
    made, tried = Made(), [asyncio.Event() for _ in range(count)]
    context = _context(shown) if kind.has_certificate and shown is not None else None
    place = _Place(host=host, port=int(port), context=context)
    tasks = [asyncio.create_task(_keep(place, kind, made, event.set)) for event in tried]
    try:
        async with asyncio.timeout(60):
            for event in tried:
                await event.wait()
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where connections go, and by what means."""

    host: str
    port: int
    context: ssl.SSLContext | None


async def _keep(place: _Place, kind: Kind, made: Made, tried: Callable[[], None]) -> None:
    """Keep one connection open for ever."""
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_connection(
                place.host, place.port, ssl=place.context
            )
            made.opened()
            tried()
            await _behave(kind, reader, writer)
        except (OSError, ssl.SSLError):
            made.refused += writer is None
        finally:
            tried()
            if writer is not None:
                made.open -= 1
                made.closed += 1
                writer.transport.abort()
        await asyncio.sleep(_PAUSE)


async def _behave(kind: Kind, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Do what is of this kind; return when the service has closed the connection."""
    writer.write(kind.first)
    while not reader.at_eof() and not writer.transport.is_closing():
        if kind.again:
            writer.write(kind.again)
            await writer.drain()
        if not kind.reads:
            await asyncio.sleep(_PAUSE)
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(kind.pause if kind.again else 5):
                if await reader.read(65_536) and kind.leaves:
                    return


def _context(shown: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(shown.authority))
    context.load_cert_chain(shown.certificate, shown.key)
    context.check_hostname = False  # the service's name is not that of its address
    context.set_alpn_protocols(["h2"])
    return context
