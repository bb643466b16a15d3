"""The part about strangers: connections that wear a service out, and certificates with tricks.

Beside each kind of connection, new honest callers come and ask for the service's health and for
something that it answers from memory, each over a connection of its own; so does one caller that
was there before. The service has the usual soft limit of open files at its start.
"""

import asyncio
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import grpc
import psutil
from kalepool.common.v1 import common_pb2, common_pb2_grpc

from devstack.stack import Progress, Stack
from libs.common.descriptors import raise_limit
from libs.common.grpc.client import open_channel
from libs.common.grpc.health import is_serving
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.tls import TlsFiles, Transport
from trials.report import Table
from trials.security.floods import OF_ONE_ADDRESS, Kind, Made, flooding, kinds
from trials.security.memory import mebibytes

#: The soft limit of open files that most systems give.
USUAL_LIMIT = 1024
#: Seconds in which each honest caller has to be answered, beside the time that the service takes
#: for as many calls as the connections make at once: who comes behind those waits for them.
PATIENCE = 5.0
#: Calls in progress at a time, while that time is measured.
_PARALLEL = 50
#: Seconds of one kind of connection, and between two honest callers.
SECONDS, _PAUSE = 12.0, 0.2
#: Times that honest callers come at least.
_ROUNDS = 2
#: MiB that a service may have grown by at most when the connections are gone.
MOST_KEPT = 150
#: Seconds until a service has noticed that the connections are gone.
_SETTLES = 1.0
_PATH = "/kalepool.common.v1.InfoService/GetInfo"


@dataclass(frozen=True, kw_only=True)
class Endured:
    """One kind of connection, and what honest callers noticed."""

    #: What the connections do.
    name: str
    #: What became of them.
    made: Made
    #: Seconds until each honest caller was answered: over a new connection, over an old one.
    new: Sequence[float]
    old: Sequence[float]
    #: Seconds that each of them had, and those that were not answered in time.
    patience: float
    failed: int
    #: Resident bytes of the service before, at the most, and after.
    before: int
    most: int
    after: int

    @property
    def failures(self) -> list[str]:
        """Return what is wrong, in words."""
        found = []
        if self.failed or not self.new or not self.old:
            found.append(
                f"beside connections of the kind {self.name!r} {self.failed} honest calls were not "
                f"answered in {self.patience:.1f} s"
            )
        if (self.after - self.before) >> 20 > MOST_KEPT:
            grown = (self.after - self.before) >> 20
            found.append(f"connections of the kind {self.name!r} left {grown} MiB behind")
        return found


@contextmanager
def usual_limit() -> Iterator[None]:
    """Give processes that start in the block the usual limit; have more for ourselves after it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL_LIMIT, hard))
    try:
        yield
    finally:
        raise_limit()


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A service that is tried."""

    #: Where it listens (host:port), and its short name.
    target: str
    name: str
    #: The number of its process.
    pid: int
    #: What honest callers show.
    honest: Transport


async def endure(
    stack: Stack, pooler_id: str, progress: Progress, *, service: str, connections: int
) -> list[Endured]:
    """Try every kind of connection on a service that is started anew for it."""
    with usual_limit():
        await stack.restart(service)
    victim = Victim(
        target=stack.target(service),
        name=service,
        pid=stack.pids()[service],
        honest=stack.operator(),
    )
    shown = stack.certificates(CallerKind.POOLER, pooler_id)
    found = []
    for kind in all_kinds():
        count = OF_ONE_ADDRESS if kind.has_certificate else connections
        progress(f"{count} connections to {service}: {kind.name}")
        found.append(await endure_one(victim, kind, count, shown))
    return found


def all_kinds() -> list[Kind]:
    """Return every kind of connection, with a call that anybody with a certificate may make."""
    return kinds(_PATH, common_pb2.GetInfoRequest().SerializeToString())


async def endure_one(
    victim: Victim,
    kind: Kind,
    count: int,
    shown: TlsFiles,
    *,
    seconds: float = SECONDS,
    patience: float = PATIENCE,
) -> Endured:
    """Keep connections of one kind to a service open; return what honest callers noticed."""
    async with open_channel(victim.target, victim.honest, name=victim.name) as old:
        patience += await _seconds_of(old, count * kind.calls)
        return await endured(
            _Callers(victim, old, patience),
            flooding(victim.target, kind, count, shown),
            name=kind.name,
            pid=victim.pid,
            seconds=seconds,
        )


async def _seconds_of(channel: grpc.aio.Channel, calls: int) -> float:
    """Return the seconds in which the service answers an honest caller so many calls."""
    stub: Any = common_pb2_grpc.InfoServiceStub(channel)
    numbers, began = iter(range(calls)), time.monotonic()

    async def ask() -> None:
        for _ in numbers:
            await stub.GetInfo(common_pb2.GetInfoRequest())

    await asyncio.gather(*(ask() for _ in range(_PARALLEL)))
    return time.monotonic() - began


class Honest(Protocol):
    """Honest callers, one after the other."""

    #: Seconds that they have, and until they were answered, over new connections and an old one.
    patience: float
    new: list[float]
    old: list[float]
    #: Those that were not answered.
    failed: int

    async def come(self) -> None:
        """Make one more connection, and ask."""
        ...

    async def ask_again(self) -> None:
        """Ask over the old connection."""
        ...


async def endured(
    callers: Honest,
    flood: AbstractAsyncContextManager[Made],
    *,
    name: str,
    pid: int,
    seconds: float,
) -> Endured:
    """Let honest callers come for a while beside a flood; return what they noticed."""
    process = psutil.Process(pid)
    before = most = process.memory_info().rss
    await callers.ask_again()  # connects
    async with flood as made:
        ends, rounds = time.monotonic() + seconds, 0
        # On a busy machine one round may take all the time: one is no proof of patience.
        while time.monotonic() < ends or rounds < _ROUNDS:
            await callers.ask_again()
            await callers.come()
            rounds += 1
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(_PAUSE)
    await asyncio.sleep(_SETTLES)
    return Endured(
        name=name,
        made=made,
        new=callers.new,
        old=callers.old,
        patience=callers.patience,
        failed=callers.failed,
        before=before,
        most=most,
        after=process.memory_info().rss,
    )


class _Callers:
    """Honest callers of a service."""

    def __init__(self, victim: Victim, old: grpc.aio.Channel, patience: float) -> None:
        self._victim = victim
        self._old = old
        self.patience = patience
        self.new: list[float] = []
        self.old: list[float] = []
        self.failed = 0

    async def come(self) -> None:
        """Make one more connection, and ask."""
        victim = self._victim
        async with open_channel(victim.target, victim.honest, name=victim.name) as channel:
            await self._call(channel, self.new)

    async def ask_again(self) -> None:
        """Ask over the old connection."""
        await self._call(self._old, self.old)

    async def _call(self, channel: grpc.aio.Channel, times: list[float]) -> None:
        """Ask for the service's health and for what it is."""
        stub: Any = common_pb2_grpc.InfoServiceStub(channel)
        began = time.monotonic()
        try:
            serves = await is_serving(channel, timeout=self.patience)
            await stub.GetInfo(common_pb2.GetInfoRequest(), timeout=self.patience)
        except grpc.aio.AioRpcError:
            serves = False
        if serves:
            times.append(time.monotonic() - began)
        else:
            self.failed += 1


def table_of(
    found: Sequence[Endured], *, title: str = "connections that wear a service out"
) -> Table:
    """Return what was endured, a row for each kind of connection."""
    return Table(
        title=f"{title}, and new honest callers beside them",
        columns=(
            *("connections that", "open at most", "made", "closed by the service"),
            *("honest calls", "s each had", "failed", "new: median ms", "longest", "old: longest"),
            "MiB before, at most, after",
        ),
        rows=[_row(one) for one in found],
    )


def _row(one: Endured) -> tuple[str, ...]:
    made = one.made
    sizes = ", ".join(mebibytes(size) for size in (one.before, one.most, one.after))
    times = (median(one.new or [0]), max(one.new, default=0), max(one.old, default=0))
    return (
        *(one.name, str(made.most), str(made.made), str(made.closed)),
        *(str(len(one.new) + len(one.old) + one.failed), f"{one.patience:.1f}", str(one.failed)),
        *(f"{seconds * 1000:.0f}" for seconds in times),
        sizes,
    )
