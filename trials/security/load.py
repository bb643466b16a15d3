"""python -m trials.security.load HOST:PORT SECONDS: calls GetInfo as fast as it is answered.

The command prints one line of JSON: calls, seconds, and the 50th and 99th percentile of the latency
in milliseconds. TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE are shown when they are set.
"""

import asyncio
import json
import os
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from kalepool.common.v1 import common_pb2, common_pb2_grpc

from libs.common.grpc.client import open_channel
from libs.common.grpc.tls import PLAINTEXT, TlsFiles, Transport, transport_of
from trials.turns import percentile

#: Calls in progress at a time.
PARALLEL = 32


def _transport() -> Transport:
    names = ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")
    paths = [Path(os.environ[name]) for name in names if name in os.environ]
    if len(paths) < len(names):
        return PLAINTEXT
    return transport_of(TlsFiles(certificate=paths[0], key=paths[1], authority=paths[2]))


async def load(target: str, seconds: float) -> dict[str, float]:
    """Make calls until the time is over."""
    latencies: list[float] = []
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(open_channel(target, _transport(), name="wallet"))
        stub: common_pb2_grpc.InfoServiceAsyncStub = common_pb2_grpc.InfoServiceStub(channel)
        await stub.GetInfo(common_pb2.GetInfoRequest(), wait_for_ready=True)
        began = time.perf_counter()
        until = began + seconds

        async def call() -> None:
            while (started := time.perf_counter()) < until:
                await stub.GetInfo(common_pb2.GetInfoRequest())
                latencies.append(time.perf_counter() - started)

        await asyncio.gather(*(call() for _ in range(PARALLEL)))
        took = time.perf_counter() - began
    return {
        "calls": len(latencies),
        "seconds": took,
        "p50_ms": percentile(latencies, 0.5) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(load(sys.argv[1], float(sys.argv[2])))))  # noqa: T201
