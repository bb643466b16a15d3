"""Answers of HTTP on one connection, read by hand: a client library would cost far more."""

import asyncio
import re
import time
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Answers(asyncio.Protocol):
    """One connection: requests are sent, and their answers are waited for, one after another."""

    def __init__(self) -> None:
        self._buffer = b""
        #: Bytes of the answer that is read; 0 until its head is there.
        self._whole = 0
        self._transport: Any = None
        self._answered: asyncio.Future[bytes] | None = None
        # What `again` needs.
        self._request = b""
        self._until = self._started = 0.0
        self._latencies: list[float] | None = None

    async def to(self, request: bytes) -> bytes:
        """Send a request; return the answer, head and body. Raise RuntimeError for a refusal."""
        waiting = self._begin()
        self._transport.write(request)
        return await waiting

    async def again(self, request: bytes, until: float, latencies: list[float]) -> None:
        """Send the same request again and again until a time; note how long each answer took."""
        self._request, self._until, self._latencies = request, until, latencies
        waiting = self._begin()
        self._ask()
        await waiting

    def close(self) -> None:
        """End the connection."""
        self._answered = None
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """Take the connection (asyncio's hook)."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take an answer that is whole (asyncio's hook)."""
        self._buffer = self._buffer + data if self._buffer else data
        if not self._whole and not self._has_head():
            return
        if len(self._buffer) < self._whole:
            return
        answer, self._buffer, self._whole = self._buffer, b"", 0
        if self._latencies is not None:
            now = time.perf_counter()
            self._latencies.append(now - self._started)
            if now < self._until:
                self._ask()
                return
            self._latencies = None
        self._end(answer)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell that the connection has ended too early (asyncio's hook)."""
        self._fail("the connection ended")

    def _begin(self) -> "asyncio.Future[bytes]":
        self._answered = asyncio.get_running_loop().create_future()
        return self._answered

    def _ask(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._request)

    def _has_head(self) -> bool:
        """Tell whether the head is there, and succeeded; note how long the answer is."""
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return False
        found = _LENGTH.search(self._buffer, 0, head + 2)
        if not self._buffer.startswith(b"HTTP/1.1 200") or found is None:
            self._fail(self._buffer[:300].decode("latin-1"))
            return False
        self._whole = head + 4 + int(found[1])
        return True

    def _end(self, answer: bytes) -> None:
        waiting, self._answered = self._answered, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _fail(self, why: str) -> None:
        waiting, self._answered = self._answered, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(RuntimeError(why))
