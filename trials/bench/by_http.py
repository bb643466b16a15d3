"""python -m trials.bench.by_http: what the gateway costs, beside a call by grpc.aio without it.

In one run, and in turns: GetBlock of a server that does nothing, called by grpc.aio, and through
the gateway by HTTP with a token, many calls at a time and one at a time; then a thousand readers of
events. The gateway has a core of its own where the system can give it one, server and callers have
another. Written to trials/results. Exit status 1 when a goal is missed.
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psutil

from devstack.processes import Command, Process
from libs.common.authority import CERTIFICATE_FILE, make_authority
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.tls import TlsFiles
from libs.common.names import GATEWAY, SERVICES
from trials.bench.goals import Goal
from trials.machine import Origin, origin
from trials.report import Report, Table, add_options, console_of, tell

#: Share of the throughput of grpc.aio that is left through the gateway, at least.
SHARE = 0.3
#: Requests a second, at least, where grpc.aio makes PACE; in proportion elsewhere.
RATE, PACE = 1_500, 5_000
#: Milliseconds that the gateway adds to the median of a call, at most.
ADDED = 1.0
#: Readers of events, the cores that they cost at most, and milliseconds until an event is there.
READERS, CORES, LATE = 1_000, 1.0, 1_000.0
#: Seconds of one turn, and of the readers.
TURN, READING = 4.0, 20.0
#: Calls at a time.
_PARALLEL = 32
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    #: Turns of each kind of call, and the seconds of one.
    turns: int
    seconds: float = TURN
    #: Readers of events, and for how many seconds they read.
    readers: int = READERS
    reading: float = READING


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One kind of call in one turn."""

    #: Answered calls per second.
    rate: float
    #: Median and 99th percentile of the calls' milliseconds.
    p50_ms: float
    p99_ms: float
    #: Microseconds of CPU of the called process for each call.
    cpu_us: float


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the readers of events cost, and what they got."""

    #: How many there were, and for how many seconds.
    readers: int
    seconds: float
    #: Events that the readers got: the one with the fewest, and the one with the most.
    fewest: int
    most: int
    #: Milliseconds from the server to the reader.
    p50_ms: float
    p99_ms: float
    #: Cores that the gateway took.
    cores: float
    #: Resident bytes of the gateway before, and with all readers.
    before: int
    after: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """All that was measured."""

    origin: Origin
    #: Whether the gateway had a core of its own.
    is_pinned: bool
    #: Turns with many calls at a time.
    grpc: Sequence[Turn]
    http: Sequence[Turn]
    #: Turns with one call at a time.
    grpc_alone: Sequence[Turn]
    http_alone: Sequence[Turn]
    reading: Reading

    @property
    def share(self) -> float:
        """Return the share of grpc.aio's throughput that is left: the turns' median."""
        return median(h.rate / g.rate for g, h in zip(self.grpc, self.http, strict=True))

    @property
    def added_ms(self) -> float:
        """Return the milliseconds that the gateway adds to the median of a call."""
        pairs = zip(self.grpc_alone, self.http_alone, strict=True)
        return median(h.p50_ms - g.p50_ms for g, h in pairs)

    def goals(self) -> list[Goal]:
        """Return every figure beside its goal."""
        bare, rate = (median(turn.rate for turn in turns) for turns in (self.grpc, self.http))
        wanted = RATE * min(1.0, bare / PACE)
        return [
            Goal(name="grpc.aio over HTTP", figure=1 / self.share, at_most=1 / SHARE, unit="times"),
            Goal(
                name="time of a request, on a core that is busy",
                figure=1e6 / rate,
                at_most=1e6 / wanted,
                unit="µs",
            ),
            Goal(name="added to the median", figure=self.added_ms, at_most=ADDED, unit="ms"),
            Goal(
                name=f"cores for {self.reading.readers:,} readers of events",
                figure=self.reading.cores,
                at_most=CORES,
                unit="cores",
            ),
            Goal(
                name="an event is there (99th percentile)",
                figure=self.reading.p99_ms,
                at_most=LATE,
                unit="ms",
            ),
        ]

    @property
    def is_met(self) -> bool:
        """Tell whether all goals are met, and no reader missed an event."""
        is_whole = self.reading.fewest >= self.reading.most - 1
        return is_whole and all(goal.met for goal in self.goals())


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

    async def load(self, kind: str, seconds: float, parallel: int) -> dict[str, float]:
        """Run the load; return what it measured."""
        port = self.server_port if kind == "grpc" else self.gateway_port
        # By gRPC alone the gateway's core is free: the caller has it.
        cores = self.own_core if kind == "grpc" else self.other_cores
        async with _loading(kind, port, seconds, parallel, self.shown) as child:
            pin(child.pid, cores)
            output, _ = await child.communicate()
        return _json(output)

    async def turn(self, kind: str, seconds: float, parallel: int) -> Turn:
        """Measure one kind of call."""
        called = psutil.Process(self.server.pid if kind == "grpc" else self.gateway.pid)
        before = sum(called.cpu_times()[:2])
        told = await self.load(kind, seconds, parallel)
        cpu = sum(called.cpu_times()[:2]) - before
        return Turn(
            rate=told["calls"] / told["seconds"],
            p50_ms=told["p50_ms"],
            p99_ms=told["p99_ms"],
            cpu_us=cpu / told["calls"] * 1e6,
        )

    async def reading(self, readers: int, seconds: float) -> Reading:
        """Measure readers of events."""
        called = psutil.Process(self.gateway.pid)
        before = called.memory_info().rss
        async with _loading("events", self.gateway_port, seconds, readers, self.shown) as child:
            pin(child.pid, self.other_cores)
            if child.stdout is None:
                raise RuntimeError("no output")
            await child.stdout.readline()  # all are open
            began = sum(called.cpu_times()[:2])
            told = _json(await child.stdout.read())
            cpu = sum(called.cpu_times()[:2]) - began
            await child.wait()
        return Reading(
            readers=readers,
            seconds=seconds,
            fewest=int(told["fewest"]),
            most=int(told["most"]),
            p50_ms=told["p50_ms"],
            p99_ms=told["p99_ms"],
            cores=cpu / seconds,
            before=before,
            after=called.memory_info().rss,
        )


@asynccontextmanager
async def _loading(
    kind: str, port: int, seconds: float, parallel: int, shown: TlsFiles
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the process that calls; it ends with the block, whatever happens."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "trials.bench.load", kind, f"127.0.0.1:{port}", str(seconds), str(parallel)),
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


def pin(pid: int, cores: Sequence[int]) -> None:
    """Leave a process these cores alone, where there are any to give."""
    if cores:
        psutil.Process(pid).cpu_affinity(list(cores))


def cores_of_this_process() -> list[int]:
    """Return the cores that we may use; none where the system cannot give single ones."""
    try:
        found = psutil.Process().cpu_affinity()
    except (AttributeError, psutil.Error):
        return []
    return sorted(found or ())


@asynccontextmanager
async def open_place(folder: Path) -> AsyncIterator[Place]:
    """Start the server and the gateway, each in a process of its own."""
    cores = cores_of_this_process()
    own, others = (cores[:1], cores[1:]) if len(cores) > 1 else ([], [])
    authority = make_authority("kalepool")
    authority.save(folder)
    files = {}
    for name in (GATEWAY, "wallet"):
        certificate, key = authority.issue(CallerKind.SERVICE, name).save(folder, name)
        files[name] = TlsFiles(
            certificate=certificate, key=key, authority=folder / CERTIFICATE_FILE
        )
    (folder / "logs").mkdir()
    ports = _free_ports(2)
    wallet = files["wallet"]
    paths = (str(wallet.certificate), str(wallet.key), str(wallet.authority))
    commands = (
        Command(
            name="server",
            arguments=("-m", "trials.bench.bare_wallet", str(ports[0]), *paths),
            environment={},
        ),
        Command(
            name=GATEWAY,
            arguments=("-m", GATEWAY),
            environment={
                "PORT": str(ports[1]),
                "PUBLIC_RATE_LIMIT": "0",
                # All readers are one address here.
                "MAX_STREAMS_PER_CALLER": str(2 * READERS),
                **{f"{name.upper()}_TARGET": f"127.0.0.1:{ports[0]}" for name in SERVICES},
                **files[GATEWAY].environment,
            },
        ),
    )
    async with AsyncExitStack() as cleanup:
        processes = []
        for command, at in zip(commands, (others[:1], own), strict=True):
            process = Process(command, folder / "logs")
            await process.start()
            cleanup.push_async_callback(process.stop)
            pin(process.pid, at)
            processes.append(process)
        for process, port in zip(processes, ports, strict=True):
            await _listens(process, port)
        yield Place(
            server_port=ports[0],
            gateway_port=ports[1],
            server=processes[0],
            gateway=processes[1],
            shown=files[GATEWAY],
            own_core=own,
            other_cores=others,
        )


def _free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    with ExitStack() as held:
        taken = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in taken]


async def _listens(process: Process, port: int) -> None:
    """Return when a process listens; raise ProcessDiedError when it has ended."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            process.check()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


async def measure(plan: Plan) -> Cost:
    """Measure all kinds in turns, after one turn of each that does not count."""
    found: dict[tuple[str, int], list[Turn]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        async with open_place(Path(scratch)) as place:
            for _ in range(plan.turns + 1):
                for parallel in (_PARALLEL, 1):
                    for kind in ("grpc", "http"):
                        turn = await place.turn(kind, plan.seconds, parallel)
                        found.setdefault((kind, parallel), []).append(turn)
            reading = await place.reading(plan.readers, plan.reading)
            is_pinned = bool(place.own_core)
    return Cost(
        origin=await origin(),
        is_pinned=is_pinned,
        grpc=found["grpc", _PARALLEL][1:],
        http=found["http", _PARALLEL][1:],
        grpc_alone=found["grpc", 1][1:],
        http_alone=found["http", 1][1:],
        reading=reading,
    )


def parts_of(cost: Cost) -> list[Table | str]:
    """Return the medians of the turns, the readers, and the goals."""
    reading = cost.reading
    sizes = f"{reading.before / 2**20:.0f} to {reading.after / 2**20:.0f}"
    where = "the gateway has a core of its own" if cost.is_pinned else "all share the cores"
    return [
        Table(
            title=f"calls of GetBlock; {where}",
            columns=("way", "calls a second", "p50 ms", "p99 ms", "CPU µs a call of who is called"),
            rows=[
                _row(f"grpc.aio, {_PARALLEL} at a time", cost.grpc),
                _row(f"the gateway, {_PARALLEL} at a time", cost.http),
                _row("grpc.aio, one at a time", cost.grpc_alone),
                _row("the gateway, one at a time", cost.http_alone),
            ],
        ),
        Table(
            title="readers of events",
            columns=("readers", "events each", "p50 ms", "p99 ms", "cores", "the gateway's MiB"),
            rows=[
                (
                    f"{reading.readers:,}",
                    f"{reading.fewest} to {reading.most} in {reading.seconds:.0f} s",
                    f"{reading.p50_ms:.1f}",
                    f"{reading.p99_ms:.1f}",
                    f"{reading.cores:.2f}",
                    sizes,
                )
            ],
        ),
        Table(
            title="goals",
            columns=("what", "figure", "at most", "unit", "verdict"),
            rows=[
                (
                    goal.name,
                    f"{goal.figure:.2f}",
                    f"{goal.at_most:.2f}",
                    goal.unit,
                    "met" if goal.met else "NOT met",
                )
                for goal in cost.goals()
            ],
        ),
    ]


def _row(name: str, turns: Sequence[Turn]) -> tuple[str, ...]:
    return (
        name,
        f"{median(turn.rate for turn in turns):,.0f}",
        f"{median(turn.p50_ms for turn in turns):.2f}",
        f"{median(turn.p99_ms for turn in turns):.2f}",
        f"{median(turn.cpu_us for turn in turns):.0f}",
    )


def verdict(cost: Cost) -> str:
    """Return the verdict in one line."""
    word = "met" if cost.is_met else "NOT met"
    return f"{cost.share:.2f} of grpc.aio's throughput, {cost.added_ms:.2f} ms added; goals {word}"


def report_of(cost: Cost) -> Report:
    """Return the report."""
    goals = [asdict(goal) | {"met": goal.met} for goal in cost.goals()]
    return Report(
        name="by-http",
        title="What the gateway costs",
        origin=cost.origin,
        commands=["python -m trials.bench.by_http"],
        parts=parts_of(cost),
        verdict=verdict(cost),
        passed=cost.is_met,
        content=asdict(cost) | {"goals": goals, "met": cost.is_met},
    )


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.bench.by_http", description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--readers", type=int, default=READERS)
    add_options(parser)
    options = parser.parse_args(arguments)
    cost = asyncio.run(measure(Plan(turns=options.turns, readers=options.readers)))
    tell(console_of(options), report_of(cost), options)
    return 0 if cost.is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
