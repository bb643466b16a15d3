"""A service that stops, and how it is reached: proxies and IPv6 are in nobody's way."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc

from libs.common.errors import UnavailableError
from libs.common.grpc.client import open_channel, stream
from libs.common.grpc.draining import Draining, StoppingError
from tests.unit.common.test_grpc_server import FOREVER, plant, serving

#: Seconds: long, as machines are busy; nothing of it is spent where all is well.
PATIENCE = 60.0


async def watch(target: str, begun: asyncio.Event) -> int:
    """Read a stream without an end to its end; return the number of answers before its error.

    `begun` is set with the first answer.
    """
    request, seen = wallet_pb2.WatchBlocksRequest(after_index=FOREVER), 0
    async with open_channel(target) as channel:
        stub = wallet_pb2_grpc.WalletServiceStub(channel)
        with pytest.raises(UnavailableError) as ended:
            async for _ in stream(stub.WatchBlocks, request, timeout=None):
                seen += 1
                begun.set()
    assert ended.value.reason == "STOPPING"
    return seen


async def test_calls_of_a_service_that_stops_are_to_come_again() -> None:
    async with AsyncExitStack() as stack:
        running, _ = await stack.enter_async_context(serving())
        target = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(open_channel(target))
        # The stack closes this channel after the server: the other one is the server's own.
        outer = AsyncExitStack()
        async with outer:
            callers = await outer.enter_async_context(open_channel(target))
            begun = asyncio.Event()
            watching = asyncio.create_task(watch(target, begun))
            running_call = asyncio.create_task(plant(callers, "slow"))
            # Calls of a connection arrive in order: the slow one is there once this is answered.
            await plant(callers, "ok")
            await plant(channel, "ok")
            await asyncio.wait_for(begun.wait(), PATIENCE)
            stopping = asyncio.create_task(stack.aclose())
            await asyncio.sleep(0.1)
            # On a busy machine it may have stopped by now.
            with pytest.raises(UnavailableError):
                await plant(callers, "ok")
            with pytest.raises(UnavailableError) as cut:
                await asyncio.wait_for(running_call, PATIENCE)
            assert await asyncio.wait_for(watching, PATIENCE) == 1
            await asyncio.wait_for(stopping, PATIENCE)
    assert (cut.value.reason, cut.value.retry_after) == ("STOPPING", 1.0)


async def test_what_ends_within_the_grace_is_answered() -> None:
    draining, answered = Draining(), asyncio.Event()

    async def work() -> str:
        with draining.taking(is_endless=False):
            await answered.wait()
            return "answer"

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    ending = asyncio.create_task(draining.end(PATIENCE))
    await asyncio.sleep(0)
    with pytest.raises(StoppingError), draining.taking(is_endless=False):
        pytest.fail("a call was taken while the service stops")
    answered.set()
    assert await task == "answer"
    await asyncio.wait_for(ending, PATIENCE)


async def test_a_caller_that_goes_away_is_no_stop() -> None:
    draining = Draining()

    async def work() -> None:
        with draining.taking(is_endless=False):
            await asyncio.sleep(600)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(draining.end(PATIENCE), PATIENCE)


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "grpc_proxy"])
async def test_a_proxy_is_not_asked_for_this_machine(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(other, raising=False)
    # Nobody listens there: a channel that asks it fails.
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving() as (running, channel):
        await plant(channel, "ok")
        async with open_channel(f"localhost:{running.port}") as another:
            await plant(another, "ok")


async def test_it_may_listen_at_an_address_of_ipv6() -> None:
    async with serving(host="::1") as (running, _), open_channel(f"[::1]:{running.port}") as own:
        await plant(own, "ok")
