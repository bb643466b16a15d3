"""python -m trials.bench.load grpc|http|events ...: calls as fast as they are answered, or reads.

Prints one line of JSON. The HTTP side is written by hand, so that it costs little of the core that
it shares with the server behind the gateway.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections import deque
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import uvloop
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc

from libs.common.descriptors import raise_limit
from libs.common.grpc.client import open_channel
from libs.common.grpc.tls import TlsFiles, transport_of

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_CLOSED_AT = re.compile(rb'"closeTime": ?"([^"]+)"')
_TOKEN = "kp_" + "b" * 43


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _told(latencies: list[float], seconds: float) -> dict[str, float]:
    return {
        "calls": len(latencies),
        "seconds": seconds,
        "p50_ms": percentile(latencies, 0.5) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
    }


async def by_grpc(target: str, seconds: float, parallel: int) -> dict[str, float]:
    """Call GetBlock until the time is over."""
    names = ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")
    certificate, key, authority = (Path(os.environ[name]) for name in names)
    transport = transport_of(TlsFiles(certificate=certificate, key=key, authority=authority))
    latencies: list[float] = []
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(open_channel(target, transport, name="wallet"))
        stub: wallet_pb2_grpc.WalletServiceAsyncStub = wallet_pb2_grpc.WalletServiceStub(channel)
        request = wallet_pb2.GetBlockRequest(index=12_345)
        await stub.GetBlock(request, wait_for_ready=True)
        began = time.perf_counter()
        until = began + seconds

        async def call() -> None:
            while (started := time.perf_counter()) < until:
                await stub.GetBlock(request)
                latencies.append(time.perf_counter() - started)

        await asyncio.gather(*(call() for _ in range(parallel)))
        return _told(latencies, time.perf_counter() - began)


class _Asker(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, until: float, latencies: list[float]) -> None:
        self._request = request
        self._until = until
        self._latencies = latencies
        self._buffer = b""
        self._started = 0.0
        self._transport: Any = None
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Ask for the first time (asyncio's hook)."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count an answer that is whole, and ask again (asyncio's hook)."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        found = _LENGTH.search(self._buffer, 0, head + 2)
        if not self._buffer.startswith(b"HTTP/1.1 200") or found is None:
            self.done.set_exception(RuntimeError(self._buffer[:300].decode("latin-1")))
            return
        if len(self._buffer) < head + 4 + int(found[1]):
            return
        self._buffer = b""
        now = time.perf_counter()
        self._latencies.append(now - self._started)
        if now < self._until:
            self._ask()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell that the connection has ended too early (asyncio's hook)."""
        if not self.done.done():
            self.done.set_exception(RuntimeError("the connection ended"))

    def _ask(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._request)


async def by_http(host: str, port: int, seconds: float, parallel: int) -> dict[str, float]:
    """Ask for a block until the time is over."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    request = (
        f"GET /v1/blocks/12345 HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: Bearer {_TOKEN}\r\nAccept: application/json\r\n\r\n"
    ).encode()
    began = time.perf_counter()
    until = began + seconds
    askers = [
        (await loop.create_connection(lambda: _Asker(request, until, latencies), host, port))[1]
        for _ in range(parallel)
    ]
    await asyncio.gather(*(asker.done for asker in askers))
    return _told(latencies, time.perf_counter() - began)


class _Reader(asyncio.Protocol):
    """One connection that reads events."""

    def __init__(self, request: bytes, delays: "deque[float]") -> None:
        self._request = request
        self._delays = delays
        self._buffer = b""
        self.events = 0

    def connection_made(self, transport: Any) -> None:
        """Ask for the stream (asyncio's hook)."""
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note how old each event is (asyncio's hook)."""
        now = time.time()
        *events, self._buffer = (self._buffer + data).split(b"\n\n")
        for event in events:
            found = _CLOSED_AT.search(event)
            if found is not None:
                self.events += 1
                self._delays.append(now - datetime.fromisoformat(found[1].decode()).timestamp())


async def read_events(host: str, port: int, seconds: float, streams: int) -> dict[str, float]:
    """Read so many streams of events for a while, from when all are open."""
    raise_limit()
    loop = asyncio.get_running_loop()
    delays: deque[float] = deque()
    request = f"GET /v1/blocks:watch HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    readers = [
        (await loop.create_connection(lambda: _Reader(request, delays), host, port))[1]
        for _ in range(streams)
    ]
    while any(reader.events == 0 for reader in readers):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    delays.clear()
    before = [reader.events for reader in readers]
    await asyncio.sleep(seconds)
    read = [reader.events - events for reader, events in zip(readers, before, strict=True)]
    return {
        "streams": streams,
        "seconds": seconds,
        "events": sum(read),
        "fewest": min(read),
        "most": max(read),
        "p50_ms": percentile(list(delays), 0.5) * 1000,
        "p99_ms": percentile(list(delays), 0.99) * 1000,
    }


def main(arguments: list[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.bench.load", description=__doc__)
    parser.add_argument("kind", choices=("grpc", "http", "events"))
    parser.add_argument("target")
    parser.add_argument("seconds", type=float)
    parser.add_argument("parallel", type=int)
    options = parser.parse_args(arguments)
    host, _, port = options.target.rpartition(":")
    if options.kind == "grpc":
        work = by_grpc(options.target, options.seconds, options.parallel)
    elif options.kind == "http":
        work = by_http(host, int(port), options.seconds, options.parallel)
    else:
        work = read_events(host, int(port), options.seconds, options.parallel)
    sys.stdout.write(json.dumps(uvloop.run(work)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
