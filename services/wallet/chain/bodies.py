"""Reads the body of a node's answer within bounds: what is unpacked is counted as it comes."""

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import aiohttp

from services.wallet.chain.bounds import Bounds

#: Bytes of a body that are read at once, and that a body may have before it waits for its turn.
_PIECE = 64 * 2**10
#: Bytes that are unpacked between two turns of the event loop.
_TURN = 512 * 2**10
#: Digits of a number at most: one of 64 bits has 19.
_DIGITS = 20
#: Bytes from which on a body has to be ASCII: what is not takes up to four times as much memory.
_ANY_TEXT = 64 * 2**10
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
    more memory than one; small ones pass."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

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
        holds = False
        try:
            async for piece in response.content.iter_chunked(_PIECE):
                if not holds and len(unpacker.body) + len(piece) > _PIECE:
                    await self._turn.acquire()
                    holds = True
                await unpacker.take(piece)
            yield unpacker.end()
        finally:
            if holds:
                self._turn.release()


class _Unpacker:
    """Gzip, or nothing at all."""

    def __init__(self, encoding: str, most: int) -> None:
        if encoding.strip().lower() not in {"", "identity", "gzip"}:
            raise BodyError("packed in a way that was not asked for")
        self.body = bytearray()
        self._most = most
        self._gzip = zlib.decompressobj(wbits=31) if encoding.strip().lower() == "gzip" else None
        self._wire = 0
        self._turn = 0

    async def take(self, piece: bytes) -> None:
        """The next bytes from the wire."""
        self._wire += len(piece)
        if self._wire > self._most:
            raise BodyError(f"more than {self._most} bytes")
        if self._gzip is None:
            await self._add(piece)
            return
        while piece:
            try:
                unpacked = self._gzip.decompress(piece, _PIECE)
            except zlib.error:
                raise BodyError("gzip that cannot be unpacked") from None
            await self._add(unpacked)
            piece = self._gzip.unconsumed_tail
            if self._gzip.eof and self._gzip.unused_data:
                raise BodyError("gzip with something behind it")

    def end(self) -> bytearray:
        """The whole body."""
        if self._gzip is not None and not self._gzip.eof:
            raise BodyError("gzip without its end")
        return self.body

    async def _add(self, unpacked: bytes) -> None:
        self.body += unpacked
        if len(self.body) > self._most:
            raise BodyError(f"more than {self._most} bytes unpacked")
        self._turn += len(unpacked)
        if self._turn > _TURN:
            self._turn = 0
            await asyncio.sleep(0)


async def reason_in(response: aiohttp.ClientResponse) -> str:
    """The first words of an error's body, if they are plain text; empty when there are none."""
    if response.headers.get("Content-Encoding") or response.content_type != "text/plain":
        return ""
    words = (await response.content.read(_REASON)).decode(errors="replace")
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def parse(body: bytearray, bounds: Bounds) -> Any:
    """The JSON in a body. BodyError when it has more parts than it may, NoJsonError."""
    if sum(map(body.count, (b",", b"[", b"{"))) > bounds.marks:
        raise BodyError(f"more than {bounds.marks} parts")
    if len(body) > _ANY_TEXT and (not body.isascii() or _WIDE.search(body)):
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
