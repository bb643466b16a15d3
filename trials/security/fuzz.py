"""Hostile requests to every RPC of a running pool."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import custody_pb2, engine_pb2
from stellar_sdk import Keypair

from devstack.stack import Stack, who_calls
from libs.common.grpc.client import open_channel
from libs.common.grpc.errors import from_rpc_error
from libs.common.grpc.rpcs import path_of, services
from libs.common.names import SERVICES, process_of
from trials.security.hostile import Hostility

#: Seconds of one call; a well-formed one may wait for the chain.
TIMEOUT = 1.0
#: Calls in progress at the same time.
PARALLEL = 48
_COMMON = "kalepool.common.v1"
#: Methods of the standard health service that grpc.aio does not implement.
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
#: Statuses that say nothing about the request, as of a service that hangs or is full.
SILENT = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
#: Statuses that any RPC returns for some of the requests.
ANSWERED = ("OK", "INVALID_ARGUMENT")
#: RPCs that wait for ledgers, or ask the chain about each farmer: few calls have an answer within
#: TIMEOUT, so each RPC is called once more with this request.
LONG: Mapping[str, bytes] = {
    "wallet ReconciliationService/Reconcile": b"",
    "wallet EngineService/DeployMulticall": engine_pb2.DeployMulticallRequest(
        max_fee_stroops=10**10
    ).SerializeToString(),
}
_RESUME = "wallet CustodyService/ResumeSigning"
_EVERYTHING = custody_pb2.ResumeSigningRequest(
    reach=custody_pb2.PauseReach(everything=True)
).SerializeToString()
#: Timeout of patient calls (s), on a machine that does other things, too.
PATIENCE = 180.0
#: Share of an RPC's calls that may be SILENT, and the share that has to be ANSWERED; the shares are
#: somewhat looser where there are few calls.
MOST_SILENT, LEAST_ANSWERED, _FEW = 0.2, 0.2, 3
#: Patient calls in which an RPC has to be ANSWERED once.
_TRIES = 40


@dataclass(frozen=True, kw_only=True)
class Target:
    """One RPC of one process."""

    #: Short name of the service's process.
    process: str
    #: The RPC's descriptor.
    method: MethodDescriptor
    #: The connection.
    channel: grpc.aio.Channel

    @property
    def path(self) -> str:
        """Return the RPC's path in HTTP/2."""
        return path_of(self.method)

    @property
    def name(self) -> str:
        """Return a name for people: the process, and the RPC without its package."""
        return f"{self.process} {self.path.rpartition('.')[2]}"


@dataclass(kw_only=True)
class Outcome:
    """The outcome of a run."""

    #: Number of calls.
    calls: int = 0
    #: Calls by status, for each RPC of each process.
    by_rpc: dict[str, Counter[str]] = field(default_factory=dict)
    #: Descriptions of forbidden outcomes, the first hundred.
    complaints: list[str] = field(default_factory=list)
    #: Texts that callers got with their errors, details included.
    told: set[str] = field(default_factory=set)
    #: RPCs that a patient caller had answers of: their silence was the machine's.
    patient: set[str] = field(default_factory=set)

    def __iadd__(self, other: "Outcome") -> "Outcome":
        self.calls += other.calls
        for rpc, statuses in other.by_rpc.items():
            self.by_rpc.setdefault(rpc, Counter()).update(statuses)
        self.told |= other.told
        self.patient |= other.patient
        self.complaints = (self.complaints + other.complaints)[:100]
        return self

    @property
    def statuses(self) -> Counter[str]:
        """Return the number of calls by status."""
        return sum(self.by_rpc.values(), Counter())

    @property
    def silences(self) -> list[str]:
        """Return the RPCs that hardly answer, not even a patient caller, in words."""
        return [text for rpc, text in self.silent().items() if rpc not in self.patient]

    def silent(self) -> dict[str, str]:
        """Return the RPCs that hardly answer within TIMEOUT, each with a description."""
        found = {}
        for rpc, statuses in sorted(self.by_rpc.items()):
            calls, silent, answered = statuses.total(), silent_of(statuses), answered_of(statuses)
            is_silent = silent > MOST_SILENT * calls + _FEW
            if rpc not in LONG and (is_silent or answered < LEAST_ANSWERED * calls - _FEW):
                found[rpc] = f"{rpc}: of {calls} calls {silent} silent, {answered} answered"
        return found

    def count(self, target: Target, status: str) -> None:
        """Count an answer, or the lack of an answer."""
        self.by_rpc.setdefault(target.name, Counter())[status] += 1

    def complain(self, text: str) -> None:
        """Note a forbidden outcome."""
        if len(self.complaints) < 100:
            self.complaints.append(text)


def silent_of(statuses: Mapping[str, int]) -> int:
    """Return the number of calls whose status says nothing about the request."""
    return sum(statuses.get(status, 0) for status in SILENT)


def answered_of(statuses: Mapping[str, int]) -> int:
    """Return the number of calls that were answered, or told the fault of the request."""
    return sum(statuses.get(status, 0) for status in ANSWERED)


def rpcs() -> Iterator[tuple[str, MethodDescriptor]]:
    """Yield every RPC with the process that serves it; Info and health with each process."""
    health: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]  # its types are another pool's
    everywhere: list[ServiceDescriptor] = [
        health,
        *(one for one in services() if one.file.package == _COMMON),
    ]
    for process in SERVICES:
        own = [one for one in services() if process_of(one.full_name) == process]
        for service in (*own, *everywhere):
            for method in service.methods:
                if method.full_name not in UNSERVED:
                    yield process, method


@asynccontextmanager
async def open_targets(stack: Stack) -> AsyncIterator[Sequence[Target]]:
    """Open connections to every RPC."""
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
    """Register a pooler and a farmer, so that some requests concern them; return their ids."""
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
    """Send `count` requests, evenly over all RPCs."""
    hostility = Hostility(dice=random.Random(seed), ids=ids)
    outcome, turns = Outcome(), itertools.cycle(targets)

    async def one() -> None:
        target = next(turns)
        raw = hostility.raw(target.method.input_type)
        await _ask(target, raw, outcome)

    await _repeat(one, outcome, count)
    return outcome


async def ask_again(
    targets: Sequence[Target],
    outcome: Outcome,
    *,
    seed: int,
    ids: Sequence[str],
    patience: float = PATIENCE,
) -> None:
    """Ask the RPCs that hardly answered once more, one call at a time, with patience.

    How many answers there are within TIMEOUT tells about the machine, too. An RPC counts as silent
    when a patient caller gets none either.
    """
    hostility = Hostility(dice=random.Random(seed), ids=ids)
    for target in (one for one in targets if one.name in outcome.silent()):
        again = Outcome()
        for _ in range(_TRIES):
            await _ask(target, hostility.raw(target.method.input_type), again, timeout=patience)
            if silent_of(again.statuses) or answered_of(again.statuses):
                break
        if not silent_of(again.statuses) and answered_of(again.statuses):
            outcome.patient.add(target.name)


async def ask_long(targets: Sequence[Target]) -> list[str]:
    """Return the LONG RPCs that do not answer even a patient caller.

    Some hostile request may have paused all signing, which those RPCs need.
    """
    await _resume_signing(targets)
    found = []
    for target in (one for one in targets if one.name in LONG):
        try:
            await target.channel.unary_unary(target.path, bytes, bytes)(
                LONG[target.name], timeout=PATIENCE
            )
        except grpc.aio.AioRpcError as error:
            told = f"{error.code().name} {error.details()}"
            found.append(f"{target.name}: {told} after {PATIENCE} s at most")
    return found


async def _resume_signing(targets: Sequence[Target]) -> None:
    """End the pause of everything, if there is one."""
    (resume,) = [one for one in targets if one.name == _RESUME]
    try:
        await resume.channel.unary_unary(resume.path, bytes, bytes)(_EVERYTHING, timeout=PATIENCE)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise


async def _repeat(step: Callable[[], Awaitable[None]], outcome: Outcome, count: int) -> None:
    async def worker() -> None:
        while outcome.calls < count:
            outcome.calls += 1
            await step()

    async with asyncio.TaskGroup() as group:
        for _ in range(PARALLEL):
            group.create_task(worker())


async def _ask(target: Target, raw: bytes, outcome: Outcome, *, timeout: float = TIMEOUT) -> None:
    try:
        if target.method.server_streaming:
            call = target.channel.unary_stream(target.path, bytes, bytes)(raw, timeout=timeout)
            await call.read()
            call.cancel()
        else:
            await target.channel.unary_unary(target.path, bytes, bytes)(raw, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        outcome.count(target, error.code().name)
        outcome.told.add(f"{error.details()} {error.trailing_metadata()!r}")
        _judge(target, raw, error, outcome)
    else:
        outcome.count(target, "OK")


def _judge(target: Target, raw: bytes, error: grpc.aio.AioRpcError, outcome: Outcome) -> None:
    """Judge an error: a caller may cause only errors that say what to do about them."""
    what = f"{target.path} {raw[:100]!r}: {error.code().name} {error.details()}"
    if error.code() in FORBIDDEN:
        outcome.complain(what)
    elif error.code() is grpc.StatusCode.INVALID_ARGUMENT and target.path.startswith("/kalepool."):
        typed = from_rpc_error(error)
        if not typed.violations and typed.reason != "MALFORMED_REQUEST":
            outcome.complain(f"no field is named: {what}")
