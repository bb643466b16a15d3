"""Reads the body of a node's answer within bounds: what is unpacked is counted as it comes."""

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn

import aiohttp

from services.wallet.chain.node.bounds import Bounds

#: Bytes of a body that are read at once, and that a body may have before it waits for its turn.
_PIECE = 64 * 2**10
#: Large bodies that are in memory at the same time, of all nodes together; each node may have one.
LARGE_AT_ONCE = 3
#: Bytes that are unpacked between two turns of the event loop.
_TURN = 512 * 2**10
#: Digits of a number at most: one of 64 bits has 19.
_DIGITS = 20
#: Bytes up to which a body may have any shape. A larger one is counted, and has to be ASCII: what
#: is not takes up to four times as much memory.
_ANY_SHAPE = 64 * 2**10
#: An escaped character that is not in Latin-1.
_WIDE = re.compile(rb"\\u(?!00)")
#: Bytes of an error's body that are read for its reason.
_REASON = 2 * 2**10


class BodyError(Exception):
    """A body that is not read to its end, with the reason."""


class NoJsonError(Exception):
    """A body that is not JSON as nodes write it, with the reason."""


class Turns:
    """Large bodies of one node are read one after the other, so that many of them at once take no
    more memory than one; small ones pass. `room` is for those of all nodes."""

    def __init__(self, room: asyncio.Semaphore) -> None:
        self._turn = asyncio.Lock()
        self._room = room

    @asynccontextmanager
    async def reading(
        self, response: aiohttp.ClientResponse, bounds: Bounds
    ) -> AsyncIterator[bytearray]:
        """The body, unpacked. BodyError when it is beyond its bounds or not packed as it says.

        What is made of it should be made while the block runs: it counts until then.
        """
        declared = response.content_length
        if declared is not None and declared > bounds.size:
            raise BodyError(f"{declared} bytes")
        unpacker = _Unpacker(response.headers.get("Content-Encoding", ""), bounds.size)
        body, unseen, is_large = bytearray(), 0, False
        async with AsyncExitStack() as turn:
            async for packed in response.content.iter_chunked(_PIECE):
                for piece in unpacker.unpack(packed):
                    if not is_large and len(body) + len(piece) > _PIECE:
                        is_large = True
                        await turn.enter_async_context(self._turn)
                        await turn.enter_async_context(self._room)
                    body += piece
                    unseen += len(piece)
                    if len(body) > bounds.size:
                        raise BodyError(f"more than {bounds.size} bytes unpacked")
                    if unseen > _TURN:
                        unseen = 0
                        await asyncio.sleep(0)
            unpacker.end()
            yield body


class _Unpacker:
    """Gzip, or nothing at all."""

    def __init__(self, encoding: str, most: int) -> None:
        name = encoding.strip().lower()
        if name not in {"", "identity", "gzip"}:
            raise BodyError("packed in a way that was not asked for")
        self._gzip = zlib.decompressobj(wbits=31) if name == "gzip" else None
        self._most = most
        self._wire = 0

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """What the next bytes from the wire stand for, in pieces."""
        self._wire += len(packed)
        if self._wire > self._most:
            raise BodyError(f"more than {self._most} bytes")
        if self._gzip is None:
            yield packed
            return
        while packed:
            try:
                yield self._gzip.decompress(packed, _PIECE)
            except zlib.error:
                raise BodyError("gzip that cannot be unpacked") from None
            packed = self._gzip.unconsumed_tail
            if self._gzip.eof and self._gzip.unused_data:
                raise BodyError("gzip with something behind it")

    def end(self) -> None:
        """There is no more."""
        if self._gzip is not None and not self._gzip.eof:
            raise BodyError("gzip without its end")


async def reason_in(response: aiohttp.ClientResponse) -> str:
    """The first words of an error's body, if they are plain text; empty when there are none."""
    if response.headers.get("Content-Encoding") or response.content_type != "text/plain":
        return ""
    words = (await response.content.read(_REASON)).decode(errors="replace")
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def parse(body: bytearray, bounds: Bounds) -> Any:
    """The JSON in a body. BodyError when it has more parts than it may, NoJsonError."""
    if len(body) > _ANY_SHAPE:
        if sum(map(body.count, (b",", b"[", b"{"))) > bounds.marks:
            raise BodyError(f"more than {bounds.marks} parts")
        if not body.isascii() or _WIDE.search(body):
            raise NoJsonError("text that is not ASCII")
    try:
        return json.loads(body, parse_int=_integer, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NoJsonError(f"{type(error).__name__}: {error}") from None


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError("a number without end")
    return int(digits)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
