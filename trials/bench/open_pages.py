"""python -m trials.bench.open_pages GATEWAY SECONDS PAGES [--streams-only]: people who look on.

One process holds so many open pages, each as a browser does by gateway/pages/static/pool.js: the
page is read, then a stream of events is open; the page is read again some seconds after a new
block, and about twice a minute. Half of them show the overview, a quarter a block, a quarter a
farmer of its own. Prints `open` when all are open, and then one line of JSON.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections import deque
from datetime import datetime
from typing import Any

import uvloop

from libs.common.descriptors import raise_limit
from trials.bench.bare_wallet import BLOCK
from trials.bench.http_answers import Answers
from trials.turns import percentile

_CLOSED_AT = re.compile(rb'"closeTime": ?"([^"]+)"')
_BLOCK = re.compile(rb'"block": ?\{"index": ?(\d+)')
#: pool.js: seconds between two reads at least, the spread over which viewers come, and the seconds
#: between two looks.
_AGAIN, _SPREAD, _LOOK = 30.0, 4.0, 5.0
#: Pages that are opened at a time.
_OPENING = 50
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def path_of(number: int, block: int) -> str:
    """Return what the page of a number shows."""
    if number % 4 == 1:
        return f"/blocks/{block}"
    if number % 4 == 3:
        return "/farmers/" + "G" + "".join(random.choices(_LETTERS, k=55))
    return "/"


class Told:
    """What all viewers noticed since the last `clear`."""

    def __init__(self) -> None:
        #: Seconds from when an event was sent until it was there.
        self.delays: deque[float] = deque()
        #: Seconds that each read of a page took, and its bytes.
        self.reads: deque[float] = deque()
        self.bytes: deque[int] = deque()
        self.errors: list[BaseException] = []

    def clear(self) -> None:
        """Forget it."""
        for noticed in (self.delays, self.reads, self.bytes):
            noticed.clear()


class Viewer(asyncio.Protocol):
    """Who has one page open; as a protocol of asyncio it reads the stream of events."""

    def __init__(self, target: str, path: str, told: Told, *, reads_again: bool) -> None:
        """Take the gateway's host:port, what the page shows, and whether it is read again."""
        self._told = told
        self._reads_again = reads_again
        self._head = f" HTTP/1.1\r\nHost: {target}\r\nAccept: text/html\r\n\r\n".encode()
        self._request = b"GET " + path.encode() + self._head
        self._target = target.rpartition(":")
        self._page: Answers | None = None
        self._reading: asyncio.Task[None] | None = None
        self._read_at = 0.0
        self._buffer = b""
        self._block = 0
        self._is_closed = False
        self.events = 0

    async def open(self) -> None:
        """Read the page, and begin to follow it."""
        loop = asyncio.get_running_loop()
        host, port = self._target[0], int(self._target[2])
        _, self._page = await loop.create_connection(Answers, host, port)
        await self._read()
        await loop.create_connection(lambda: self, host, port)
        if self._reads_again:
            loop.call_later(random.uniform(0, _LOOK), self._look)

    async def _read(self) -> None:
        """Read the page once."""
        if self._page is None:
            raise RuntimeError("not open")
        self._read_at = began = time.perf_counter()
        answer = await self._page.to(self._request)
        self._told.reads.append(time.perf_counter() - began)
        self._told.bytes.append(len(answer))

    def _look(self) -> None:
        """Read the page again when the last read is long ago (pool.js)."""
        if self._is_closed:
            return
        if time.perf_counter() - self._read_at > _AGAIN + random.uniform(0, _SPREAD):
            self._read_again()
        asyncio.get_running_loop().call_later(_LOOK, self._look)

    def _read_again(self) -> None:
        if self._is_closed or self._reading is not None:
            return
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._reading = None
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._is_closed:
            self._told.errors.append(error)

    def close(self) -> None:
        """Look on no longer."""
        self._is_closed = True

    def connection_made(self, transport: Any) -> None:
        """Ask for the stream (asyncio's hook)."""
        transport.write(b"GET /v1/blocks:watch" + self._head)

    def data_received(self, data: bytes) -> None:
        """Note how old each event is (asyncio's hook)."""
        now = time.time()
        *events, self._buffer = (self._buffer + data).split(b"\n\n")
        for event in events:
            found, block = _CLOSED_AT.search(event), _BLOCK.search(event)
            if found is None or block is None:
                continue
            self.events += 1
            self._told.delays.append(now - datetime.fromisoformat(found[1].decode()).timestamp())
            is_new, self._block = 0 < self._block < int(block[1]), int(block[1])
            if is_new and self._reads_again:
                wait = 1 + random.uniform(0, _SPREAD)
                asyncio.get_running_loop().call_later(wait, self._read_again)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the stream has ended too early (asyncio's hook)."""
        if not self._is_closed:
            self._told.errors.append(exc or RuntimeError("a stream ended"))


async def look_on(target: str, seconds: float, pages: int, *, reads_again: bool) -> dict[str, Any]:
    """Hold so many pages open, from when all are open; return what their viewers noticed."""
    raise_limit()
    told = Told()
    block = int(time.time()) // BLOCK
    viewers = [
        Viewer(target, path_of(number, block), told, reads_again=reads_again)
        for number in range(pages)
    ]
    for first in range(0, pages, _OPENING):
        await asyncio.gather(*(viewer.open() for viewer in viewers[first : first + _OPENING]))
    while any(viewer.events == 0 for viewer in viewers):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    told.clear()
    before = [viewer.events for viewer in viewers]
    await asyncio.sleep(seconds)
    if told.errors:
        raise told.errors[0]
    read = [viewer.events - events for viewer, events in zip(viewers, before, strict=True)]
    for viewer in viewers:
        viewer.close()
    return {
        "events": sum(read),
        "fewest": min(read),
        "most": max(read),
        **_times("event", told.delays),
        "reads": len(told.reads),
        "read_bytes": sum(told.bytes),
        **_times("read", told.reads),
    }


def _times(name: str, seconds: "deque[float]") -> dict[str, float]:
    """Return the median and the 99th percentile in milliseconds; 0 for none."""
    found = list(seconds) or [0.0]
    return {
        f"{name}_p50_ms": percentile(found, 0.5) * 1000,
        f"{name}_p99_ms": percentile(found, 0.99) * 1000,
    }


def main(arguments: list[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.bench.open_pages", description=__doc__)
    parser.add_argument("gateway")
    parser.add_argument("seconds", type=float)
    parser.add_argument("pages", type=int)
    parser.add_argument("--streams-only", action="store_true", help="read no page again")
    options = parser.parse_args(arguments)
    work = look_on(
        options.gateway, options.seconds, options.pages, reads_again=not options.streams_only
    )
    sys.stdout.write(json.dumps(uvloop.run(work)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
