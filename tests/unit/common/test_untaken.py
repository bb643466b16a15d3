"""Calls that bring no request, and answers that nobody takes, use up no memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from kalepool.common.v1 import common_pb2
from kalepool.plant.v1.plant_pb2_grpc import PlantServiceServicer
from pydantic import SecretStr

from libs.common.config import ServiceSettings
from libs.common.errors import ResourceExhaustedError
from libs.common.grpc import server as servers
from libs.common.grpc.client import open_channel
from libs.common.grpc.server import open_server
from libs.common.grpc.tls import PLAINTEXT
from libs.common.grpc.untaken import Untaken
from tests.support.plant_server import plant_spec

INFO = "/kalepool.common.v1.InfoService/GetInfo"
METHODS = [INFO, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"]


async def _never() -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield common_pb2.GetInfoRequest()


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


async def _nothing() -> AsyncIterator[Any]:
    none: list[common_pb2.GetInfoRequest] = []
    for one in none:
        yield one


@pytest.fixture
async def channel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server that waits for a request for a moment only."""
    monkeypatch.setattr(servers, "_REQUEST_WAIT", 0.2)
    settings = ServiceSettings(
        database_url=SecretStr("postgresql://nowhere/none"), transport="plaintext"
    )
    async with (
        open_server(plant_spec(PlantServiceServicer), settings, PLAINTEXT) as running,
        open_channel(f"127.0.0.1:{running.port}") as opened,
    ):
        yield opened


async def _answer(channel: grpc.aio.Channel, method: str, requests: Any) -> grpc.aio.AioRpcError:
    call: Any = channel.stream_stream(
        method, request_serializer=lambda one: one.SerializeToString()
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call(requests, timeout=10):
            pass
    return caught.value


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_that_brings_no_request_is_ended(
    channel: grpc.aio.Channel, method: str
) -> None:
    error = await _answer(channel, method, _never())
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error.details() == "the request did not arrive"


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_that_ends_without_a_request_is_refused(
    channel: grpc.aio.Channel, method: str
) -> None:
    error = await _answer(channel, method, _nothing())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_second_request_of_a_call_is_not_looked_at(channel: grpc.aio.Channel) -> None:
    async def two() -> AsyncIterator[Any]:
        yield health_pb2.HealthCheckRequest()
        yield health_pb2.HealthCheckRequest(service="nobody's")

    call: Any = channel.stream_unary(
        METHODS[1],
        request_serializer=_bytes,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    assert (await call(two(), timeout=10)).status == health_pb2.HealthCheckResponse.SERVING


async def _leave(untaken: Untaken, identity: str, size: int, over: asyncio.Event) -> None:
    untaken.leave(identity, size)
    await over.wait()


@pytest.mark.parametrize(("answers", "size"), [(3, 1), (1, 100)])
async def test_who_takes_no_answers_gets_no_more(answers: int, size: int) -> None:
    untaken, over = Untaken(max_answers=3, max_bytes=100), asyncio.Event()
    tasks = [asyncio.create_task(_leave(untaken, "eve", size, over)) for _ in range(answers)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhaustedError) as caught:
        untaken.check("eve")
    assert caught.value.reason == "ANSWERS_NOT_TAKEN"
    untaken.check("ann")
    over.set()
    await asyncio.gather(*tasks)
    untaken.check("eve")


async def test_what_was_taken_does_not_count() -> None:
    untaken, over = Untaken(max_answers=3, max_bytes=100), asyncio.Event()
    over.set()
    for _ in range(50):
        await asyncio.create_task(_leave(untaken, "ann", 90, over))
        untaken.check("ann")


async def test_what_waits_is_looked_at_once_however_often_its_caller_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller that takes nothing and goes on asking must not take our time instead."""
    untaken, over = Untaken(max_answers=100, max_bytes=10**6), asyncio.Event()
    tasks = [asyncio.create_task(_leave(untaken, "eve", 1, over)) for _ in range(100)]
    await asyncio.sleep(0)
    looks: list[int] = []

    class Seen:
        """A task that counts who looks at it."""

        def __init__(self, task: asyncio.Task[None]) -> None:
            self._task = task

        def done(self) -> bool:
            looks.append(1)
            return self._task.done()

        def add_done_callback(self, told: Any) -> None:
            self._task.add_done_callback(told)

    with monkeypatch.context() as patched:
        late = Seen(tasks[0])
        patched.setattr(asyncio, "current_task", lambda: late)
        untaken.leave("eve", 1)
    for _ in range(50):
        with pytest.raises(ResourceExhaustedError, match="101 answers wait"):
            untaken.check("eve")
    assert len(looks) == 1
    over.set()
    await asyncio.gather(*tasks)
    untaken.check("eve")


async def test_an_answer_that_is_taken_makes_room_for_one() -> None:
    untaken = Untaken(max_answers=3, max_bytes=100)
    taken = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.create_task(_leave(untaken, "eve", 1, one)) for one in taken]
    await asyncio.sleep(0)
    for event, task in zip(taken, list(tasks), strict=True):
        with pytest.raises(ResourceExhaustedError, match="3 answers wait"):
            untaken.check("eve")
        event.set()
        await task
        untaken.check("eve")
        tasks.append(asyncio.create_task(_leave(untaken, "eve", 1, asyncio.Event())))
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    untaken.check("eve")
