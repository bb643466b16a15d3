"""Calls and streams that are given up: most of them during the answer, some before they are sent.

A share of the calls finds a database that answers nobody. Handlers of the other calls may well have
ended before their caller leaves, the more so on a loaded machine; the handlers of this share surely
have not.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import asyncpg
import grpc

from devstack.stack import Stack
from libs.common.grpc.trace import REQUEST_ID
from trials.security.arrivals import Records, request_id
from trials.security.fuzz import PARALLEL, TIMEOUT, Target
from trials.security.hostile import Hostility

#: Calls of one round, after which the services' records are read.
_ROUND = 2_000
#: Seconds for the services to notice that the last callers of a round are gone.
_PAUSE = 0.3
#: Share of a round's calls that come while the database answers nobody.
_STALLED = 0.2
#: Tables that the database keeps from everybody then: the tables that services read first.
_TABLES = ("registry.poolers", "registry.farmers", "wallet.wallets")
#: Most calls given up for each call that is to arrive.
MOST = 6
#: Share of the calls that goes to streams; the same share of these goes to the stream without an
#: end.
_STREAMS = 0.5
#: Services that write a record of each request.
_RECORDED = "/kalepool."
#: The pool's own stream without an end.
_ENDLESS = "/WatchBlocks"
#: Share of the calls that is cancelled at once.
_AT_ONCE = 0.05
#: Share of the calls that continues to its first answer, to learn how long the answer takes.
_TIMED = 0.05
#: Share of the calls that is not cancelled, but forgotten.
_FORGOTTEN = 0.1
#: Moment at which the other calls are given up, as a share of the expected time to their first
#: answer.
_EARLIEST, _LATEST = 0.2, 1.0
#: Weight of the newest call in the expected time.
_NEWEST = 0.2


@dataclass(kw_only=True)
class Tally:
    """Calls that were given up before they were answered in full."""

    #: Number of all these calls.
    left: int = 0
    #: Calls that were given up before anything was sent.
    at_once: int = 0
    #: Calls that reached a handler.
    arrived: int = 0
    #: Calls that reached a handler which had not ended when it learned of the cancellation.
    cancelled: int = 0

    def __iadd__(self, other: "Tally") -> "Tally":
        self.left += other.left
        self.at_once += other.at_once
        self.arrived += other.arrived
        self.cancelled += other.cancelled
        return self


@dataclass(kw_only=True)
class Abandoned:
    """The outcome of calls that were given up."""

    #: Calls with one answer.
    unary: Tally = field(default_factory=Tally)
    #: Calls with many answers.
    streams: Tally = field(default_factory=Tally)
    #: Calls of both kinds to the standard services, which keep no records: their arrival is
    #: unknown.
    unrecorded: Tally = field(default_factory=Tally)

    @property
    def all(self) -> Tally:
        """Return the sum of all tallies."""
        total = Tally()
        for tally in (self.unary, self.streams, self.unrecorded):
            total += tally
        return total

    def of(self, target: Target) -> Tally:
        """Return the tally that counts a call to this RPC."""
        if not target.path.startswith(_RECORDED):
            return self.unrecorded
        return self.streams if target.method.server_streaming else self.unary

    def __iadd__(self, other: "Abandoned") -> "Abandoned":
        self.unary += other.unary
        self.streams += other.streams
        self.unrecorded += other.unrecorded
        return self


@dataclass(kw_only=True)
class _Leaver:
    """A caller that begins calls and goes away."""

    targets: Sequence[Target]
    dice: random.Random
    hostility: Hostility
    outcome: Abandoned = field(default_factory=Abandoned)
    #: The calls that were given up by number, each with the tally that counts it.
    left: dict[int, Tally] = field(default_factory=dict)
    #: Number of calls so far.
    number: int = 0
    #: Seconds to the first answer, by target.
    pace: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._streams = [target for target in self.targets if target.method.server_streaming]
        self._endless = [target for target in self._streams if target.path.endswith(_ENDLESS)]

    async def round(self, calls: int, *, timed: float) -> None:
        """Make a number of calls, some at a time.

        The share `timed` of the calls only measures how long an answer takes.
        """
        last = self.number + calls

        async def worker() -> None:
            while self.number < last:
                self.number += 1
                await self._one(self.number, timed)

        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(worker())

    async def _one(self, number: int, timed: float) -> None:
        target = self._target()
        tally = self.outcome.of(target)
        call = _begin(target, self.hostility.raw(target.method.input_type), number)
        if self.dice.random() < _AT_ONCE:
            call.cancel()
            tally.at_once += 1
        else:
            await self._wait(target, call, timed)
            if call.done():
                return  # answered in full: nothing was given up
            if self.dice.random() >= _FORGOTTEN:
                call.cancel()
        tally.left += 1
        self.left[number] = tally

    def _target(self) -> Target:
        if self.dice.random() >= _STREAMS:
            return self.dice.choice(self.targets)
        return self.dice.choice(self._endless if self.dice.random() < _STREAMS else self._streams)

    async def _wait(self, target: Target, call: grpc.aio.Call, timed: float) -> None:
        """Wait until the first answer, or for a share of the time that the answer should take."""
        expected, began = self.pace.get(target.name), time.monotonic()
        is_timed = expected is None or self.dice.random() < timed
        part = self.dice.uniform(_EARLIEST, _LATEST)
        # A server sends its metadata with its first answer.
        answer = asyncio.ensure_future(call.initial_metadata())
        await asyncio.wait([answer], timeout=None if is_timed else part * (expected or 0))
        answer.cancel()
        if is_timed:
            seconds = time.monotonic() - began
            before = seconds if expected is None else expected
            self.pace[target.name] = (1 - _NEWEST) * before + _NEWEST * seconds

    def count(self, records: Records) -> None:
        """Count the calls that have arrived, according to the services' records."""
        for arrival in records.arrivals():
            tally = self.left.get(arrival.number)
            if tally is not None:
                tally.arrived += 1
                tally.cancelled += arrival.status == "CANCELLED"


async def give_up(
    stack: Stack, targets: Sequence[Target], *, count: int, seed: int, ids: Sequence[str]
) -> Abandoned:
    """Give up calls and streams until `count` of them have reached a handler.

    The number of tries is limited if few calls reach a handler. Calls to the standard services are
    additional.
    """
    dice, records = random.Random(seed), Records(stack.config.directory / "logs")
    leaver = _Leaver(targets=targets, dice=dice, hostility=Hostility(dice=dice, ids=ids))
    outcome = leaver.outcome
    while outcome.all.arrived < count and outcome.all.left < MOST * count:
        missing = count - outcome.all.arrived
        calls = min(_ROUND, 2 * missing + PARALLEL)
        await leaver.round(round((1 - _STALLED) * calls), timed=_TIMED)
        async with _stalled(stack.admin_dsn):
            await leaver.round(round(_STALLED * calls), timed=0)
        await asyncio.sleep(_PAUSE)
        leaver.count(records)
    return outcome


@contextlib.asynccontextmanager
async def _stalled(dsn: str) -> AsyncIterator[None]:
    """Lock the tables, so that nobody can read them while the block runs.

    Each table has a connection of its own, so that no connection waits for a second lock while it
    holds the first.
    """
    async with contextlib.AsyncExitStack() as held:
        for table in _TABLES:
            connection = await asyncpg.connect(dsn)
            held.push_async_callback(connection.close)
            await held.enter_async_context(connection.transaction())
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def _begin(target: Target, raw: bytes, number: int) -> grpc.aio.Call:
    channel, is_stream = target.channel, target.method.server_streaming
    method = (channel.unary_stream if is_stream else channel.unary_unary)(target.path, bytes, bytes)
    metadata = grpc.aio.Metadata((REQUEST_ID, request_id(target.process, number)))
    call: grpc.aio.Call = method(raw, timeout=TIMEOUT, metadata=metadata)
    return call
