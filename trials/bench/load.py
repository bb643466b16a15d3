"""python -m trials.bench.load grpc|http|both ...: calls as fast as they are answered.

`both` makes one call at a time: by gRPC, then by HTTP, and so on. Prints `open` when calls begin
that count, and then one line of JSON. The HTTP side is written by hand, so that it costs little of
the core that it shares with the server behind the gateway.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc

from libs.common.grpc.client import open_channel
from libs.common.grpc.tls import TlsFiles, transport_of
from trials.bench.http_answers import Answers
from trials.turns import percentile

_TOKEN = "kp_" + "b" * 43
#: The block that is asked for.
_INDEX = 12_345
#: Calls over a connection that do not count: an access token is fetched, for instance.
_WARM_UP = 5

#: Makes one call by gRPC.
Call = Callable[[], Any]


class _Times:
    """When calls began and ended, and what they took of this process's CPU."""

    def __init__(self, seconds: float) -> None:
        sys.stdout.write("open\n")
        sys.stdout.flush()
        self.began = time.perf_counter()
        self.until = self.began + seconds
        self._cpu = time.process_time()

    def told(self, latencies: Sequence[float], name: str = "") -> dict[str, float]:
        """Return the figures, each with a name before it."""
        calls = len(latencies)
        return {
            f"{name}calls": calls,
            f"{name}p10_ms": percentile(latencies, 0.1) * 1000,
            f"{name}p50_ms": percentile(latencies, 0.5) * 1000,
            f"{name}p99_ms": percentile(latencies, 0.99) * 1000,
            "seconds": time.perf_counter() - self.began,
            "cpu_us": (time.process_time() - self._cpu) / calls * 1e6,
        }


@asynccontextmanager
async def _calls(target: str) -> AsyncIterator[Call]:
    """Open a channel; yield what calls GetBlock over it."""
    names = ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")
    certificate, key, authority = (Path(os.environ[name]) for name in names)
    transport = transport_of(TlsFiles(certificate=certificate, key=key, authority=authority))
    async with open_channel(target, transport, name="wallet") as channel:
        stub: wallet_pb2_grpc.WalletServiceAsyncStub = wallet_pb2_grpc.WalletServiceStub(channel)
        request = wallet_pb2.GetBlockRequest(index=_INDEX)
        for _ in range(_WARM_UP):
            await stub.GetBlock(request, wait_for_ready=True)
        yield lambda: stub.GetBlock(request)


async def by_grpc(target: str, seconds: float, parallel: int) -> dict[str, float]:
    """Call GetBlock until the time is over."""
    latencies: list[float] = []
    async with _calls(target) as call:
        times = _Times(seconds)

        async def caller() -> None:
            while (started := time.perf_counter()) < times.until:
                await call()
                latencies.append(time.perf_counter() - started)

        await asyncio.gather(*(caller() for _ in range(parallel)))
        return times.told(latencies)


def _request(target: str) -> bytes:
    return (
        f"GET /v1/blocks/{_INDEX} HTTP/1.1\r\nHost: {target}\r\n"
        f"Authorization: Bearer {_TOKEN}\r\nAccept: application/json\r\n\r\n"
    ).encode()


async def _connect(target: str) -> Answers:
    """Open a connection to the gateway, over which some calls were made."""
    host, _, port = target.rpartition(":")
    loop = asyncio.get_running_loop()
    _, answers = await loop.create_connection(Answers, host, int(port))
    for _ in range(_WARM_UP):
        await answers.to(_request(target))
    return answers


async def by_http(target: str, seconds: float, parallel: int) -> dict[str, float]:
    """Ask for a block until the time is over."""
    request, latencies = _request(target), list[float]()
    connections = [await _connect(target) for _ in range(parallel)]
    times = _Times(seconds)
    await asyncio.gather(*(one.again(request, times.until, latencies) for one in connections))
    return times.told(latencies)


async def by_both(server: str, gateway: str, seconds: float) -> dict[str, float]:
    """Call by gRPC and by HTTP in turns, one call at a time, until the time is over."""
    request = _request(gateway)
    by_grpc, by_http = list[float](), list[float]()
    connection = await _connect(gateway)
    async with _calls(server) as call:
        times = _Times(seconds)
        while (started := time.perf_counter()) < times.until:
            await call()
            between = time.perf_counter()
            await connection.to(request)
            by_grpc.append(between - started)
            by_http.append(time.perf_counter() - between)
        return times.told(by_grpc, "grpc_") | times.told(by_http, "http_")


def main(arguments: list[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.bench.load", description=__doc__)
    parser.add_argument("kind", choices=("grpc", "http", "both"))
    parser.add_argument("server")
    parser.add_argument("gateway")
    parser.add_argument("seconds", type=float)
    parser.add_argument("parallel", type=int)
    options = parser.parse_args(arguments)
    if options.kind == "grpc":
        work = by_grpc(options.server, options.seconds, options.parallel)
    elif options.kind == "http":
        work = by_http(options.gateway, options.seconds, options.parallel)
    else:
        work = by_both(options.server, options.gateway, options.seconds)
    sys.stdout.write(json.dumps(uvloop.run(work)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
