"""Sends hostile requests to every RPC of a running pool, and calls that are given up."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from stellar_sdk import Keypair

from demo.stack import Stack, who_calls
from libs.common.grpc.client import open_channel
from libs.common.grpc.errors import from_rpc_error
from libs.common.names import SERVICES
from security.hostile import Hostility
from security.rpcs import path_of, services

#: Seconds of one call; a well-formed one may wait for the chain.
TIMEOUT = 1.0
#: Calls at the same time.
PARALLEL = 48
_COMMON = "kalepool.common.v1"
#: What the standard health service of grpc.aio does not do.
UNSERVED = frozenset({"grpc.health.v1.Health.List"})
#: Statuses that no request may cause.
FORBIDDEN = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.DATA_LOSS,
    }
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One RPC of one process."""

    #: Short name of the service's process.
    process: str
    #: The RPC.
    method: MethodDescriptor
    #: The connection.
    channel: grpc.aio.Channel

    @property
    def path(self) -> str:
        """As HTTP/2 has it."""
        return path_of(self.method)


@dataclass(kw_only=True)
class Outcome:
    """What came of a run."""

    #: Calls that were made.
    calls: int = 0
    #: Calls by status.
    statuses: Counter[str] = field(default_factory=Counter)
    #: What must not be: a description of each, the first hundred.
    complaints: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Outcome") -> "Outcome":
        self.calls += other.calls
        self.statuses += other.statuses
        self.complaints = (self.complaints + other.complaints)[:100]
        return self

    def complain(self, text: str) -> None:
        """Notes what must not be."""
        if len(self.complaints) < 100:
            self.complaints.append(text)


def rpcs() -> Iterator[tuple[str, MethodDescriptor]]:
    """Every RPC with the process that serves it; Info and health with each."""
    health: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]  # its types are another pool's
    everywhere: list[ServiceDescriptor] = [
        health,
        *(one for one in services() if one.file.package == _COMMON),
    ]
    for process in SERVICES:
        own = [one for one in services() if one.file.package == f"kalepool.{process}.v1"]
        for service in (*own, *everywhere):
            for method in service.methods:
                if method.full_name not in UNSERVED:
                    yield process, method


@asynccontextmanager
async def open_targets(stack: Stack) -> AsyncIterator[Sequence[Target]]:
    """Connections to every RPC."""
    async with AsyncExitStack() as cleanup:
        found = [(process, method, who_calls(path_of(method))) for process, method in rpcs()]
        channels = {
            (process, who): await cleanup.enter_async_context(
                open_channel(stack.target(process), stack.transport(*who), name=process)
            )
            for process, who in {(process, who) for process, _, who in found}
        }
        yield [
            Target(process=process, method=method, channel=channels[process, who])
            for process, method, who in found
        ]


async def register(stack: Stack) -> list[str]:
    """A pooler and a farmer, so that some requests are about somebody; their ids."""
    async with open_channel(stack.target("registry"), stack.operator(), name="registry") as channel:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        key = Keypair.random().public_key
        pooler = await stub.RegisterPooler(
            registry_pb2.RegisterPoolerRequest(name="fuzz", public_key=key)
        )
        pooler_id = pooler.pooler.pooler_id
        farmer = await stub.RegisterFarmer(registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id))
        return [pooler_id, farmer.farmer_id]


async def send_hostile(
    targets: Sequence[Target], *, count: int, seed: int, ids: Sequence[str]
) -> Outcome:
    """`count` requests, evenly over all RPCs."""
    hostility = Hostility(dice=random.Random(seed), ids=ids)
    outcome, turns = Outcome(), itertools.cycle(targets)

    async def one() -> None:
        target = next(turns)
        raw = hostility.raw(target.method.input_type)
        await _ask(target, raw, outcome)

    await _repeat(one, outcome, count)
    return outcome


async def give_up(
    targets: Sequence[Target], *, count: int, seed: int, ids: Sequence[str]
) -> Outcome:
    """`count` calls and streams that are cancelled at any moment, or just left alone."""
    dice = random.Random(seed)
    hostility = Hostility(dice=dice, ids=ids)
    streams = [target for target in targets if target.method.server_streaming]
    outcome = Outcome()

    async def one() -> None:
        target = dice.choice(streams if dice.random() < 0.5 else list(targets))
        await _abandon(target, hostility.raw(target.method.input_type), dice)

    await _repeat(one, outcome, count)
    return outcome


async def _repeat(step: Callable[[], Awaitable[None]], outcome: Outcome, count: int) -> None:
    async def worker() -> None:
        while outcome.calls < count:
            outcome.calls += 1
            await step()

    async with asyncio.TaskGroup() as group:
        for _ in range(PARALLEL):
            group.create_task(worker())


async def _ask(target: Target, raw: bytes, outcome: Outcome) -> None:
    try:
        if target.method.server_streaming:
            call = target.channel.unary_stream(target.path, bytes, bytes)(raw, timeout=TIMEOUT)
            await call.read()
            call.cancel()
        else:
            await target.channel.unary_unary(target.path, bytes, bytes)(raw, timeout=TIMEOUT)
    except grpc.aio.AioRpcError as error:
        outcome.statuses[error.code().name] += 1
        _judge(target, raw, error, outcome)
    else:
        outcome.statuses["OK"] += 1


def _judge(target: Target, raw: bytes, error: grpc.aio.AioRpcError, outcome: Outcome) -> None:
    """A caller can cause only errors that tell what to do about it."""
    what = f"{target.path} {raw[:100]!r}: {error.code().name} {error.details()}"
    if error.code() in FORBIDDEN:
        outcome.complain(what)
    elif error.code() is grpc.StatusCode.INVALID_ARGUMENT and target.path.startswith("/kalepool."):
        typed = from_rpc_error(error)
        if not typed.violations and typed.reason != "MALFORMED_REQUEST":
            outcome.complain(f"no field is named: {what}")


async def _abandon(target: Target, raw: bytes, dice: random.Random) -> None:
    """Starts a call and goes away: at once, soon, or after the first answer."""
    try:
        if target.method.server_streaming:
            answers = target.channel.unary_stream(target.path, bytes, bytes)(raw, timeout=TIMEOUT)
            call: grpc.aio.Call = answers
            if dice.random() < 0.3:
                await answers.read()
        else:
            unary = target.channel.unary_unary(target.path, bytes, bytes)
            call = unary(raw, timeout=TIMEOUT)
        await asyncio.sleep(dice.choice([0, 0, 0.001, 0.005]))
        if dice.random() < 0.9:
            call.cancel()
    except grpc.aio.AioRpcError:
        return
