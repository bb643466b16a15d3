"""What is said of a peer's health: by its answer, and not by one second in which nothing came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from libs.common.grpc.health import is_serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Peer(health_pb2_grpc.HealthServicer):
    """A peer that leaves its first callers without an answer."""

    def __init__(self, silent: int, status: Any) -> None:
        self.silent = silent
        self.status = status
        self.asked = 0

    async def Check(self, request: Any, context: Any) -> Any:
        """Answer, or do not."""
        self.asked += 1
        if self.asked <= self.silent:
            await asyncio.Event().wait()
        return health_pb2.HealthCheckResponse(status=self.status)


@asynccontextmanager
async def channel_to(peer: Peer) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to a peer that listens."""
    server = grpc.aio.server()
    add: Any = health_pb2_grpc.add_HealthServicer_to_server
    add(peer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


@pytest.mark.parametrize(
    ("silent", "status", "is_there", "asked"),
    [(0, SERVING, True, 1), (1, SERVING, True, 2), (0, NOT_SERVING, False, 1)],
)
async def test_a_peer_is_asked_again_when_it_says_nothing(
    silent: int, status: Any, is_there: bool, asked: int
) -> None:
    peer = Peer(silent, status)
    async with channel_to(peer) as channel:
        assert await is_serving(channel, timeout=5.0) is is_there
    assert peer.asked == asked


async def test_a_peer_that_says_nothing_does_not_serve() -> None:
    peer = Peer(9, SERVING)
    async with channel_to(peer) as channel:
        assert await is_serving(channel, timeout=0.2) is False


async def test_a_peer_that_is_away_is_not_waited_for() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        assert await is_serving(channel, timeout=60.0) is False
