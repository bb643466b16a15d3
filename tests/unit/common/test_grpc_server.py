"""The standard server: errors with details, deadlines, limits, health, info, reflection."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from kalepool.common.v1 import common_pb2, common_pb2_grpc
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc
from pydantic import SecretStr

from libs.common import errors
from libs.common.config import ServiceSettings
from libs.common.errors import FieldViolation
from libs.common.grpc.access import Owned
from libs.common.grpc.client import call, open_channel, stream
from libs.common.grpc.errors import from_rpc_error
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.grpc.standing import Standing
from libs.common.grpc.tls import PLAINTEXT
from libs.common.start import ListenError
from libs.kale.formats import FORMATS
from services.access import ACCESS

BLOCKS = 5
#: after_index of a stream that gives one block and then nothing.
FOREVER = 7
POOLER = "0190a5f0-0000-7000-8000-000000000001"


class Plants(plant_pb2_grpc.PlantServiceServicer):
    """Answers as its request_id says."""

    async def Plant(self, request: plant_pb2.PlantRequest, context: Any) -> plant_pb2.PlantResponse:
        """Raises, sleeps or answers."""
        match request.request_id:
            case "missing":
                raise errors.NotFoundError(
                    "no such pooler", reason="POOLER_NOT_FOUND", metadata={"pooler_id": "missing"}
                )
            case "invalid":
                violation = FieldViolation(field="pooler_id", description="must be a UUID")
                raise errors.InvalidArgumentError("bad", violations=[violation])
            case "busy":
                raise errors.UnavailableError("later", retry_after=1.5)
            case "defect":
                raise ZeroDivisionError("secret detail")
            case "slow":
                await asyncio.sleep(30)
        return plant_pb2.PlantResponse(pooler_id=request.pooler_id)


class Blocks(wallet_pb2_grpc.WalletServiceServicer):
    """Streams BLOCKS blocks, then fails."""

    async def WatchBlocks(
        self, request: wallet_pb2.WatchBlocksRequest, context: Any
    ) -> AsyncIterator[wallet_pb2.WatchBlocksResponse]:
        """A stream that ends in a typed error."""
        if request.after_index == FOREVER:
            yield wallet_pb2.WatchBlocksResponse()
            await asyncio.Event().wait()
        for index in range(BLOCKS):
            yield wallet_pb2.WatchBlocksResponse(block=wallet_pb2.Block(index=index))
        raise errors.OutOfRangeError("too old", reason="HISTORY_GONE")


def settings(**changes: Any) -> ServiceSettings:
    """Settings that need no environment."""
    return ServiceSettings(
        transport="plaintext",
        database_url=SecretStr("postgresql://nowhere/none"),
        shutdown_grace_ms=200,
        **changes,
    )


async def nobodys(ids: Sequence[str]) -> set[str]:
    """Owners where nobody asks for them."""
    raise AssertionError(ids)


async def nobodys_standings(ids: Sequence[str]) -> set[Standing]:
    """Standings where nobody asks for them."""
    raise AssertionError(ids)


@asynccontextmanager
async def serving(
    *, healthy: list[bool] | None = None, **changes: Any
) -> AsyncIterator[tuple[RunningServer, grpc.aio.Channel]]:
    """A server with both servicers, and a channel to it."""
    state = healthy if healthy is not None else [True]

    async def check() -> bool:
        return state[0]

    def register(server: grpc.aio.Server) -> None:
        plant_pb2_grpc.add_PlantServiceServicer_to_server(cast("Any", Plants)(), server)
        wallet_pb2_grpc.add_WalletServiceServicer_to_server(cast("Any", Blocks)(), server)

    spec = ServiceSpec(
        name="plant",
        full_names=("kalepool.plant.v1.PlantService", "kalepool.wallet.v1.WalletService"),
        register=register,
        kale_contract_id="CTEST",
        access=ACCESS,
        owners=dict.fromkeys(Owned, nobodys),
        accounts=dict.fromkeys(Owned, nobodys),
        standings=dict.fromkeys(Owned, nobodys_standings),
        checks={"state": check},
        formats=FORMATS,
        method_timeouts={"Plant": 0.5, "WatchBlocks": None},
    )
    async with (
        open_server(spec, settings(**changes), PLAINTEXT) as running,
        open_channel(f"127.0.0.1:{running.port}") as channel,
    ):
        yield running, channel


def another_connection(port: int) -> grpc.aio.Channel:
    """A channel that shares no connection: what one sends beyond the bound waits in it."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)


async def plant(channel: grpc.aio.Channel, order: str) -> plant_pb2.PlantResponse:
    """Calls Plant the way services call each other."""
    request = plant_pb2.PlantRequest(block_index=0, pooler_id=POOLER, request_id=order)
    return await call(plant_pb2_grpc.PlantServiceStub(channel).Plant, request, timeout=5)


async def test_a_typed_error_arrives_as_itself() -> None:
    async with serving() as (_, channel):
        with pytest.raises(errors.NotFoundError) as caught:
            await plant(channel, "missing")
        assert caught.value.reason == "POOLER_NOT_FOUND"
        assert caught.value.metadata == {"pooler_id": "missing"}
        with pytest.raises(errors.InvalidArgumentError) as invalid:
            await plant(channel, "invalid")
        assert [item.field for item in invalid.value.violations] == ["pooler_id"]
        with pytest.raises(errors.UnavailableError) as busy:
            await plant(channel, "busy")
        assert busy.value.retry_after == 1.5


async def test_what_breaks_a_declared_rule_does_not_reach_the_servicer() -> None:
    async with serving(max_farmers=10) as (_, channel):
        request = plant_pb2.PlantRequest(
            block_index=2**31, pooler_id="x", max_farmers_capacity=11, request_id="defect\n"
        )
        with pytest.raises(errors.InvalidArgumentError) as caught:
            await call(plant_pb2_grpc.PlantServiceStub(channel).Plant, request, timeout=5)
        assert {item.field: item.description for item in caught.value.violations} == {
            "block_index": "must be at most 2147483647, not 2147483648",
            "pooler_id": "must be a UUID",
            "max_farmers_capacity": "must be from 1 to 10, not 11",
            "request_id": "must not have control characters",
        }


async def test_a_defect_tells_nothing_of_itself() -> None:
    async with serving() as (_, channel):
        with pytest.raises(errors.InternalError) as caught:
            await plant(channel, "defect")
        assert "secret" not in str(caught.value)


async def test_a_method_has_its_own_time() -> None:
    async with serving() as (_, channel):
        with pytest.raises(errors.DeadlineExceededError):
            await plant(channel, "slow")


async def test_a_stream_gives_all_and_then_its_error() -> None:
    async with serving() as (_, channel):
        stub = wallet_pb2_grpc.WalletServiceStub(channel)
        seen: list[int] = []
        with pytest.raises(errors.OutOfRangeError) as caught:
            async for item in stream(
                stub.WatchBlocks, wallet_pb2.WatchBlocksRequest(), timeout=None
            ):
                seen.append(item.block.index)  # noqa: PERF401  (kept when it raises)
        assert seen == list(range(BLOCKS))
        assert caught.value.reason == "HISTORY_GONE"


async def test_the_rate_limit_says_when_to_come_back() -> None:
    async with serving(api_rate_limit=3) as (_, channel):
        for _ in range(3):
            await plant(channel, "ok")
        with pytest.raises(errors.ResourceExhaustedError) as caught:
            await plant(channel, "ok")
        assert caught.value.reason == "RATE_LIMITED"
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 60


async def test_a_method_may_have_a_limit_of_its_own() -> None:
    async with serving(api_rate_limit=1, api_rate_limits="Plant=2") as (_, channel):
        for _ in range(2):
            await plant(channel, "ok")
        with pytest.raises(errors.ResourceExhaustedError) as caught:
            await plant(channel, "ok")
        assert caught.value.metadata == {"limit_per_minute": "2"}


async def test_a_full_process_says_so_at_once_and_recovers() -> None:
    async with (
        serving(max_calls_in_progress=1) as (running, channel),
        another_connection(running.port) as other,
    ):
        slow = asyncio.create_task(plant(channel, "slow"))
        await asyncio.sleep(0.2)
        with pytest.raises(errors.UnavailableError) as caught:
            await plant(other, "ok")
        assert caught.value.reason == "OVERLOADED"
        assert caught.value.retry_after == 1.0
        with pytest.raises(errors.DeadlineExceededError):
            await slow
        await plant(other, "ok")


async def test_health_answers_whatever_the_load_and_the_limits() -> None:
    # One stream at a time would be too few for calls one after the other: the next one may arrive
    # before the server has let go of the last one, and be refused.
    async with serving(max_calls_in_progress=8, api_rate_limit=1) as (running, channel):
        await plant(channel, "ok")
        async with another_connection(running.port) as other:
            slow = asyncio.create_task(plant(channel, "slow"))
            health: Any = health_pb2_grpc.HealthStub(other)
            for _ in range(20):
                answer = await health.Check(health_pb2.HealthCheckRequest())
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(errors.ResourceExhaustedError):
                await slow


def endless_request() -> wallet_pb2.WatchBlocksRequest:
    """Asks for a stream without an end."""
    return wallet_pb2.WatchBlocksRequest(after_index=FOREVER)


async def test_a_caller_has_so_many_streams_and_no_more() -> None:
    async with serving(max_streams_per_caller=2) as (_, channel):
        stub = wallet_pb2_grpc.WalletServiceStub(channel)
        endless = endless_request()
        open_now = [stub.WatchBlocks(endless) for _ in range(2)]
        for one in open_now:
            await one.read()
        with pytest.raises(errors.ResourceExhaustedError) as caught:
            await anext(stream(stub.WatchBlocks, endless, timeout=None))
        assert caught.value.reason == "TOO_MANY_STREAMS"
        open_now[0].cancel()
        await asyncio.sleep(0.2)
        async for _ in stream(stub.WatchBlocks, endless, timeout=None):
            break
        open_now[1].cancel()


async def test_watchers_of_health_are_bounded_and_counted_apart() -> None:
    async with serving(max_streams_per_caller=2) as (_, channel):
        health: Any = health_pb2_grpc.HealthStub(channel)
        watching = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        for one in watching:
            answer = await one.read()
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Watch(health_pb2.HealthCheckRequest()).read()
        assert from_rpc_error(caught.value).reason == "TOO_MANY_STREAMS"
        await health.Check(health_pb2.HealthCheckRequest())
        blocks = wallet_pb2_grpc.WalletServiceStub(channel)
        async for _ in stream(blocks.WatchBlocks, endless_request(), timeout=None):
            break
        watching[0].cancel()
        await asyncio.sleep(0.2)
        again = health.Watch(health_pb2.HealthCheckRequest())
        assert (await again.read()).status == health_pb2.HealthCheckResponse.SERVING


async def test_talks_with_reflection_are_bounded_too() -> None:
    async with serving(max_streams_per_caller=1) as (_, channel):
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast("Any", channel))
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        first = stub.ServerReflectionInfo()
        await first.write(asked)
        assert (await first.read()).HasField("list_services_response")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ServerReflectionInfo(iter([asked])).read()
        assert from_rpc_error(caught.value).reason == "TOO_MANY_STREAMS"
        await first.done_writing()
        assert await first.read() is grpc.aio.EOF
        again = stub.ServerReflectionInfo(iter([asked]))
        assert (await again.read()).HasField("list_services_response")


async def test_a_peer_that_is_away_is_unavailable() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        with pytest.raises(errors.UnavailableError):
            await plant(channel, "ok")


async def test_health_follows_the_checks_and_info_tells_limits() -> None:
    state = [True]
    async with serving(healthy=state, api_rate_limit=0) as (running, channel):
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "kalepool.plant.v1.PlantService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        state[0] = False
        await running.health.check()
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await health.Check(health_pb2.HealthCheckRequest(service="no.such"))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        info = await call(
            common_pb2_grpc.InfoServiceStub(channel).GetInfo,
            common_pb2.GetInfoRequest(),
            timeout=5,
        )
        assert (info.service, info.limits.max_farmers, info.network.type) == (
            "plant",
            1000,
            "localnet",
        )


async def test_status_counts_services() -> None:
    targets: dict[str, Any] = {
        f"{name}_target": "127.0.0.1:1" for name in ("registry", "wallet", "work", "harvest")
    }
    async with serving(**targets) as (_, channel):
        status = await call(
            common_pb2_grpc.InfoServiceStub(channel).GetStatus,
            common_pb2.GetStatusRequest(),
            timeout=5,
        )
        assert status.status == common_pb2.POOL_HEALTH_UNHEALTHY
        assert set(status.services) == {"registry", "wallet", "plant", "work", "harvest"}


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_bytes_that_are_no_message_are_refused_by_health_too(method: str) -> None:
    async with serving() as (_, channel):
        path = f"/grpc.health.v1.Health/{method}"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            if method == "Check":
                await channel.unary_unary(path, bytes, bytes)(b"\xff\xff")
            else:
                async for _ in channel.unary_stream(path, bytes, bytes)(b"\xff\xff"):
                    pass
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


async def test_an_address_where_another_program_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen at 127.0.0.1:{port} "):
            async with serving(port=port):
                pytest.fail("two programs listen at one address")
