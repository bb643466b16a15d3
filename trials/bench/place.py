"""Where the gateway's cost is measured: bare services, the gateway before them, and who calls."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.ports import free_ports
from devstack.processes import Command, Process, listens
from libs.common.authority import CERTIFICATE_FILE, make_authority
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.tls import TlsFiles
from libs.common.names import GATEWAY, SERVICES
from trials.machine import cores_of_this_process, pin
from trials.turns import Turn, turn_of

#: Seconds that a process gets to do more than it was asked to take.
_PATIENCE = 90.0
#: Streams that one address may have here: all who look on have the same.
_STREAMS = 10_000


@dataclass(frozen=True, kw_only=True)
class LoadTurn(Turn):
    """One kind of call, many at a time."""

    #: Microseconds of CPU of the calling process for each call.
    caller_us: float

    @property
    def busier_us(self) -> float:
        """Return the microseconds of the process that takes more: a core each makes no more."""
        return max(self.cpu_us, self.caller_us)


@dataclass(frozen=True, kw_only=True)
class Alone:
    """One call at a time: by gRPC and by HTTP in turns, so that nothing waits for another."""

    #: 10th percentile, median and 99th percentile of the milliseconds by gRPC. What a busy machine
    #: adds is not in the first.
    grpc_p10_ms: float
    grpc_p50_ms: float
    grpc_p99_ms: float
    #: Of those by HTTP.
    http_p10_ms: float
    http_p50_ms: float
    http_p99_ms: float

    @property
    def added_ms(self) -> float:
        """Return what the gateway adds to the median."""
        return self.http_p50_ms - self.grpc_p50_ms


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What people who look on cost the gateway, and what they saw."""

    #: How many there were, and for how many seconds.
    viewers: int
    seconds: float
    #: Events that they got: all together, the one with the fewest, and the one with the most.
    events: int
    fewest: int
    most: int
    #: Milliseconds from the service to the viewer.
    event_p50_ms: float
    event_p99_ms: float
    #: Pages that were read again, how many bytes those had, and their milliseconds.
    reads: int
    read_bytes: int
    read_p50_ms: float
    read_p99_ms: float
    #: Cores that the gateway took.
    cores: float
    #: Resident bytes of the gateway before, and with all viewers.
    before: int
    after: int

    @property
    def cpu_us(self) -> float:
        """Return the gateway's microseconds of CPU for each event that a viewer got."""
        return self.cores * self.seconds / max(1, self.events) * 1e6

    @property
    def bytes_each(self) -> float:
        """Return the bytes that the gateway grew by for each viewer."""
        return max(0, self.after - self.before) / self.viewers


@dataclass(frozen=True, kw_only=True)
class _Used:
    """What the called processes took while calls were made."""

    #: Seconds of CPU of the server, and of the gateway.
    server: float
    gateway: float
    #: Resident bytes of the gateway in the end.
    memory: int


class Others:
    """How many cores others take meanwhile: a machine that is not ours alone is slower."""

    def __init__(self) -> None:
        self._busy, self._own, self._at = _busy(), _own(), time.perf_counter()

    def cores(self, running: float) -> float:
        """Return the cores that others took since the beginning, on average.

        `running` are the seconds of CPU of our processes that have not ended.
        """
        took = _busy() - self._busy - (_own() - self._own) - running
        return max(0.0, took / (time.perf_counter() - self._at))


def _busy() -> float:
    """Return the seconds of CPU that all processes of this machine have taken."""
    times = psutil.cpu_times()
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(float(getattr(times, name, 0)) for name in names)


def _own() -> float:
    """Return the seconds of CPU of this process, and of those of its processes that have ended."""
    return float(sum(psutil.Process().cpu_times()[:4]))


@dataclass(frozen=True, kw_only=True)
class Place:
    """What is measured: the server, and the gateway before it."""

    #: Where they listen.
    server_port: int
    gateway_port: int
    server: Process
    gateway: Process
    #: What a caller by gRPC shows.
    shown: TlsFiles
    #: The gateway's core, and the others; none where cores cannot be given.
    own_core: Sequence[int]
    other_cores: Sequence[int]

    def cpu(self) -> tuple[float, float]:
        """Return the seconds of CPU that the server and the gateway have taken."""
        called = (psutil.Process(one.pid).cpu_times() for one in (self.server, self.gateway))
        server, gateway = (float(sum(times[:2])) for times in called)
        return server, gateway

    async def turn(self, kind: str, seconds: float, parallel: int) -> LoadTurn:
        """Measure one kind of call, grpc or http."""
        # By gRPC alone the gateway's core is free: the caller has it.
        is_grpc = kind == "grpc"
        cores = self.own_core if is_grpc else self.other_cores
        told, used = await self._load(kind, seconds, parallel, cores)
        turn = turn_of(told, cpu_seconds=used.server if is_grpc else used.gateway)
        return LoadTurn(**vars(turn), caller_us=told["cpu_us"])

    async def alone(self, seconds: float) -> Alone:
        """Measure one call at a time, by gRPC and by HTTP in turns, from the same process."""
        told, _ = await self._load("both", seconds, 1, self.other_cores)
        return Alone(
            grpc_p10_ms=told["grpc_p10_ms"],
            grpc_p50_ms=told["grpc_p50_ms"],
            grpc_p99_ms=told["grpc_p99_ms"],
            http_p10_ms=told["http_p10_ms"],
            http_p50_ms=told["http_p50_ms"],
            http_p99_ms=told["http_p99_ms"],
        )

    async def watch(self, viewers: int, seconds: float, *, reads_again: bool) -> Watch:
        """Measure people who look on, with pages that they read again or with streams alone."""
        before = self._memory()
        options = () if reads_again else ("--streams-only",)
        arguments = ("trials.bench.open_pages", self._gateway, str(seconds), str(viewers), *options)
        told, used = await self._run(arguments, seconds, self.other_cores)
        return Watch(
            viewers=viewers,
            seconds=seconds,
            events=int(told["events"]),
            fewest=int(told["fewest"]),
            most=int(told["most"]),
            event_p50_ms=told["event_p50_ms"],
            event_p99_ms=told["event_p99_ms"],
            reads=int(told["reads"]),
            read_bytes=int(told["read_bytes"]),
            read_p50_ms=told["read_p50_ms"],
            read_p99_ms=told["read_p99_ms"],
            cores=used.gateway / seconds,
            before=before,
            after=used.memory,
        )

    def _memory(self) -> int:
        """Return the resident bytes of the gateway."""
        return int(psutil.Process(self.gateway.pid).memory_info().rss)

    @property
    def _gateway(self) -> str:
        return f"127.0.0.1:{self.gateway_port}"

    async def _load(
        self, kind: str, seconds: float, parallel: int, cores: Sequence[int]
    ) -> tuple[dict[str, float], _Used]:
        """Run the load; return what it measured, and what those who are called took."""
        server = f"127.0.0.1:{self.server_port}"
        arguments = ("trials.bench.load", kind, server, self._gateway, str(seconds), str(parallel))
        return await self._run(arguments, seconds, cores)

    async def _run(
        self, arguments: Sequence[str], seconds: float, cores: Sequence[int]
    ) -> tuple[dict[str, float], _Used]:
        """Run a process that says when it has opened everything; count from then on."""
        async with _running(arguments, seconds, self.shown) as child:
            pin(child.pid, cores)
            if child.stdout is None:
                raise RuntimeError("no output")
            await child.stdout.readline()
            began = self.cpu()
            told = _json(await child.stdout.readline())
            server, gateway = (now - then for now, then in zip(self.cpu(), began, strict=True))
            used = _Used(server=server, gateway=gateway, memory=self._memory())
        return told, used


@asynccontextmanager
async def _running(
    arguments: Sequence[str], seconds: float, shown: TlsFiles
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the process that calls; it ends with the block, whatever happens."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", *arguments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **shown.environment},
    )
    try:
        async with asyncio.timeout(seconds + _PATIENCE):
            yield child
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def _json(output: bytes) -> dict[str, float]:
    if not output:
        raise RuntimeError("the load has failed; see above")
    told: dict[str, float] = json.loads(output.splitlines()[-1])
    return told


@asynccontextmanager
async def open_place(folder: Path) -> AsyncIterator[Place]:
    """Start the server and the gateway, each in a process of its own."""
    cores = cores_of_this_process()
    own, others = (cores[:1], cores[1:]) if len(cores) > 1 else ([], [])
    files = _certificates(folder)
    (folder / "logs").mkdir()
    ports = free_ports(2)
    async with AsyncExitStack() as cleanup:
        processes = []
        for command, at in zip(_commands(files, ports), (others[:1], own), strict=True):
            process = Process(command, folder / "logs")
            await process.start()
            cleanup.push_async_callback(process.stop)
            pin(process.pid, at)
            processes.append(process)
        for process, port in zip(processes, ports, strict=True):
            await listens(port, process.check, seconds=_PATIENCE)
        yield Place(
            server_port=ports[0],
            gateway_port=ports[1],
            server=processes[0],
            gateway=processes[1],
            shown=files[GATEWAY],
            own_core=own,
            other_cores=others,
        )


def _certificates(folder: Path) -> dict[str, TlsFiles]:
    """Make the certificates of the gateway and of the server."""
    authority = make_authority("kalepool")
    authority.save(folder)
    files = {}
    for name in (GATEWAY, "wallet"):
        # One server stands for all services, which the gateway knows by their names.
        addresses = SERVICES if name == "wallet" else ()
        issued = authority.issue(CallerKind.SERVICE, name, addresses=addresses)
        certificate, key = issued.save(folder, name)
        files[name] = TlsFiles(
            certificate=certificate, key=key, authority=folder / CERTIFICATE_FILE
        )
    return files


def _commands(files: dict[str, TlsFiles], ports: Sequence[int]) -> tuple[Command, Command]:
    """Return the commands of the server and of the gateway."""
    wallet = files["wallet"]
    paths = (str(wallet.certificate), str(wallet.key), str(wallet.authority))
    server = Command(
        name="server",
        arguments=("-m", "trials.bench.bare_wallet", str(ports[0]), *paths),
        environment={},
    )
    gateway = Command(
        name=GATEWAY,
        arguments=("-m", GATEWAY),
        environment={
            "PORT": str(ports[1]),
            "PUBLIC_RATE_LIMIT": "0",
            "MAX_STREAMS_PER_CALLER": str(_STREAMS),
            **{f"{name.upper()}_TARGET": f"127.0.0.1:{ports[0]}" for name in SERVICES},
            **files[GATEWAY].environment,
        },
    )
    return server, gateway
