"""Reading of the body of a node's answer within bounds; unpacked bytes are counted as they come."""

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn

import aiohttp

from services.wallet.chain.node.bounds import Bounds

#: Bytes that are read, or unpacked, at once: each answer under way holds a few such pieces.
_PIECE = 16 * 2**10
#: Bytes of a small body. A body that has more has to wait for its turn.
_SMALL = 64 * 2**10
#: Large bodies in memory at the same time, of all nodes together; each node may have one.
LARGE_AT_ONCE = 3
#: Bytes that are unpacked before the event loop may run other tasks.
_TURN = 512 * 2**10
#: Digits of a number at most: one of 64 bits has 19.
_DIGITS = 20
#: Bytes up to which a body may have any shape. The parts of a larger body are counted, and it must
#: be ASCII: other text takes up to four times as much memory.
_ANY_SHAPE = 64 * 2**10
#: An escaped character that is not in Latin-1.
_WIDE = re.compile(rb"\\u(?!00)")
#: Bytes of an error's body that are read for its reason.
_REASON = 2 * 2**10


class BodyError(Exception):
    """A body was not read to its end; the message has the reason."""


class NoJsonError(Exception):
    """A body is not JSON as nodes write it; the message has the reason."""


class Turns:
    """The turns of reading large bodies of one node, one after the other.

    So many large bodies at once take no more memory than one. Small bodies do not wait. `room`
    limits the large bodies of all nodes together.
    """

    def __init__(self, room: asyncio.Semaphore) -> None:
        self._turn = asyncio.Lock()
        self._room = room

    @asynccontextmanager
    async def reading(
        self, response: aiohttp.ClientResponse, bounds: Bounds
    ) -> AsyncIterator[bytearray]:
        """Yield the body, unpacked.

        Raises BodyError when the body exceeds its bounds or is not packed as its header says. The
        caller should convert the body within the block: the body counts as in memory until the
        block ends.
        """
        declared = response.content_length
        if declared is not None and declared > bounds.size:
            raise BodyError(f"{declared} bytes")
        unpacker = _Unpacker(response.headers.get("Content-Encoding", ""), bounds.size)
        packed = await response.content.read(_PIECE)
        is_whole = response.content.at_eof() and len(packed) <= bounds.size
        if is_whole and unpacker.is_plain:  # as nearly every answer is
            yield bytearray(packed)
            return
        body, unseen, is_large = bytearray(), 0, False
        async with AsyncExitStack() as turn:
            while packed:
                for piece in unpacker.unpack(packed):
                    if not is_large and len(body) + len(piece) > _SMALL:
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
                packed = await response.content.read(_PIECE)
            unpacker.end()
            yield body


class _Unpacker:
    """Unpacker of a body that is gzip or not packed at all."""

    def __init__(self, encoding: str, most: int) -> None:
        name = encoding.strip().lower()
        if name not in {"", "identity", "gzip"}:
            raise BodyError("packed in a way that was not asked for")
        self._gzip = zlib.decompressobj(wbits=31) if name == "gzip" else None
        self._most = most
        self._wire = 0

    @property
    def is_plain(self) -> bool:
        """Tell whether the body is not packed."""
        return self._gzip is None

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """Unpack the next bytes of the connection, in pieces."""
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
        """Check that the body is complete. Raises BodyError when gzip ends too early."""
        if self._gzip is not None and not self._gzip.eof:
            raise BodyError("gzip without its end")


async def reason_in(response: aiohttp.ClientResponse) -> str:
    """Return the first words of an error's body if they are plain text; else an empty text."""
    if response.headers.get("Content-Encoding") or response.content_type != "text/plain":
        return ""
    words = (await response.content.read(_REASON)).decode(errors="replace")
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def parse(body: bytearray, bounds: Bounds) -> Any:
    """Parse the JSON in a body.

    Raises BodyError when the body has more parts than it may, and NoJsonError when it is not JSON
    as nodes write it.
    """
    if len(body) > _ANY_SHAPE:
        _check_parts(body, bounds.marks)
        # The search for one byte is ten times as fast as the one for a pattern.
        if not body.isascii() or (b"\\" in body and _WIDE.search(body)):
            raise NoJsonError("text that is not ASCII")
    try:
        return _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise NoJsonError(f"{type(error).__name__}: {error}") from None


def _check_parts(body: bytearray, most: int) -> None:
    """Raise BodyError when a body has more commas and opening brackets than `most`."""
    # Nearly all of an answer is base64: from mark to mark takes a fifth of the time of `count`,
    # which looks at each byte.
    found = 0
    for mark in (b",", b"[", b"{"):
        position = body.find(mark)
        while position >= 0:
            found += 1
            if found > most:
                raise BodyError(f"more than {most} parts")
            position = body.find(mark, position + 1)


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError("a number without end")
    return int(digits)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


# `json.loads` would make one for each answer.
_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse)
