"""A day of blocks in compressed time: one pool, many farmers, and a kill now and then."""

import asyncio
import math
import signal
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import psutil

from devstack.chain_view import ChainView
from devstack.check import Verdict
from devstack.farmers import pooler_config, settle
from devstack.paying import Receivers
from devstack.processes import Command, Process
from devstack.stack import Progress, Stack, StackConfig, open_stack
from devstack.wallet_calls import open_caller
from libs.common.names import SERVICES
from pooler.config import PoolerConfig
from trials.day.payouts import DayPayouts, Pace, PaidDay
from trials.machine import Origin, origin
from trials.payments import PaymentReader
from trials.world import Carrier, open_channels

DIRECTORY = Path("var") / "day"
#: Ledgers of a block, and blocks of an hour, on the real network.
LEDGERS_PER_BLOCK = 60
BLOCKS_PER_HOUR = 12
#: Processes that are killed: every service, and the database in the way a crash would end it.
POSTGRES = "postgres"
VICTIMS = (*SERVICES, POSTGRES)
#: Zeros that end a farmer's search for a nonce: this trial is not about mining.
ENOUGH_ZEROS = 2
#: Share of all farmers in all blocks that has to be planted: a kill costs seconds, and a block of a
#: day in compressed time has twelve seconds.
LEAST_PLANTED = 0.9
#: Seconds between two checks of the pool.
_LOOK = 1.0
#: Ledgers that the node remembers: a few hours of the day, as nobody needs more.
_RETENTION = 3_000


@dataclass(frozen=True, kw_only=True)
class DayPlan:
    """Settings of the day."""

    #: Farmers.
    farmers: int
    #: Blocks to farm: 12 make an hour.
    blocks: int
    #: Seconds of a ledger; a ledger of the real network takes about 5.
    ledger_seconds: float
    #: How operations are carried.
    carrier: Carrier
    #: Blocks between two kills; 0 means no kills.
    kill_every: int
    #: Seed that repeats the choice of victims.
    seed: int

    @property
    def kills(self) -> bool:
        """Tell whether anything is to be killed."""
        return 0 < self.kill_every < self.blocks

    @property
    def block_seconds(self) -> int:
        """Return the seconds of a block that has as many ledgers as on the real network."""
        return max(1, round(LEDGERS_PER_BLOCK * self.ledger_seconds))


@dataclass(frozen=True, kw_only=True)
class Hour:
    """Twelve blocks of the day."""

    #: Number of the hour, from 1.
    number: int
    #: Pails made, worked and harvested on the chain in the hour's blocks, counted at the end of the
    #: day.
    planted: int
    worked: int
    harvested: int
    #: Names of the processes that were killed.
    killed: tuple[str, ...]
    #: Highest memory of each process in this hour, in MiB.
    peak_mib: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class DayResult:
    """The result of the day."""

    #: Machine, versions, commit.
    origin: Origin
    #: The settings.
    plan: DayPlan
    #: The hours in order.
    hours: list[Hour]
    #: Seconds that the farming took.
    seconds: float
    #: Events compared between records and chain.
    compared: int
    #: Every difference, in words.
    differences: list[str]
    #: Pails planted on the chain and not worked in blocks that are over: their stakes are lost.
    unworked: int
    #: Pails worked on the chain and not harvested in blocks that are over.
    unharvested: int
    #: What was paid.
    paid: PaidDay = field(default_factory=PaidDay)

    @property
    def planted(self) -> int:
        """Return the number of pails made in the day's blocks."""
        return sum(hour.planted for hour in self.hours)

    @property
    def asked(self) -> int:
        """Return the number of pails that there would be without any fault."""
        return self.plan.farmers * self.plan.blocks

    @property
    def passed(self) -> bool:
        """Tell whether everything is as promised."""
        farmed = bool(self.hours) and all(hour.harvested for hour in self.hours)
        killed = any(hour.killed for hour in self.hours) or not self.plan.kills
        # Less than an hour is too short for payouts of each kind.
        paid = self.paid.is_whole or self.plan.blocks < BLOCKS_PER_HOUR
        return (
            farmed
            and killed
            and paid
            and self.planted >= LEAST_PLANTED * self.asked
            and self.compared > 0
            and not self.differences
            and not self.unworked
            and not self.unharvested
        )


async def run_day(plan: DayPlan, progress: Progress) -> DayResult:
    """Run the whole day on a pool of its own, with the reference pooler as a process."""
    environment = {name: {"LOG_LEVEL": "warning"} for name in SERVICES}
    environment["wallet"]["CHAIN_POLL_MS"] = "100"
    environment["localnet"] = {"LOCALNET_RETENTION_LEDGERS": str(_RETENTION)}
    receivers = Receivers.made(plan.farmers)
    pace = Pace.of(farmers=plan.farmers, blocks=plan.blocks, block_seconds=plan.block_seconds)
    for name, more in pace.environment(receivers).items():
        environment[name] |= more
    config = StackConfig(
        directory=DIRECTORY,
        ledger_seconds=plan.ledger_seconds,
        block_seconds=plan.block_seconds,
        environment=environment,
    )
    async with (
        open_stack(config, progress) as stack,
        open_caller(stack, ["wallet"]) as caller,
        aiohttp.ClientSession() as session,
    ):
        await open_channels(stack, caller, plan.carrier, {}, progress)
        paying = DayPayouts(stack, receivers, pace, progress)
        asked = await paying.prepare(pooler_config(stack, plan.farmers, plan.blocks))
        settled, funded = await settle(stack, asked, lambda _event: None, progress)
        await paying.agree(settled)
        day = _Day(plan, stack, PaymentReader(session, stack.rpc_url), progress, paying)
        started = time.monotonic()
        await day.farm(settled)
        seconds = time.monotonic() - started
        await paying.end()
        progress("comparing the records with the chain")
        verdict, paid = await paying.verdict(funded, day.reader)
        return await day.result(verdict, paid, seconds)


@dataclass(kw_only=True)
class _Seen:
    """Observations of one hour while it ran."""

    killed: list[str] = field(default_factory=list)
    peak_mib: dict[str, float] = field(default_factory=dict)


class _Day:
    """The day in progress: watches and disturbs the pool while a pooler farms."""

    def __init__(
        self,
        plan: DayPlan,
        stack: Stack,
        reader: PaymentReader,
        progress: Progress,
        paying: DayPayouts,
    ) -> None:
        self._plan = plan
        self._stack = stack
        #: Memory of the chain.
        self.reader = reader
        self._paying = paying
        self._progress = progress
        # Only the choice of victims uses these random numbers, as a seed is to repeat that choice.
        self._random = Random(plan.seed)
        self._seen: dict[int, _Seen] = {}
        self._first: int | None = None
        #: Number of the block, from 0, in which the next kill is due.
        self._next_kill = plan.kill_every

    async def farm(self, config: PoolerConfig) -> None:
        """Wait until the pooler has farmed all blocks; ProcessDiedError when it ends otherwise."""
        pooler = Process(_pooler(config), self._stack.config.directory / "logs")
        await pooler.start()
        try:
            while pooler.is_running:
                await self._look(config)
                await asyncio.sleep(_LOOK)
        finally:
            await pooler.stop()
        if pooler.status != 0:
            pooler.check()

    async def _look(self, config: PoolerConfig) -> None:
        """Read new transactions, tell who mined, measure memory, and kill what is due."""
        await self.reader.catch_up()
        view = self.reader.view
        if not view.plants:
            return
        (_, block) = next(reversed(view.plants))
        await self._paying.tell_miners(config, block)
        if self._first is None:
            self._first = block
        number = block - self._first
        if number >= self._plan.blocks:
            return
        if number // BLOCKS_PER_HOUR not in self._seen:
            self._progress(f"hour {number // BLOCKS_PER_HOUR + 1} begins: {_sum(view)}")
        seen = self._seen.setdefault(number // BLOCKS_PER_HOUR, _Seen())
        self._measure(seen)
        if self._plan.kill_every and number >= self._next_kill:
            self._next_kill = number + self._plan.kill_every
            seen.killed.append(await self._kill())

    def _measure(self, seen: _Seen) -> None:
        for name, pid in self._stack.pids().items():
            with suppress(psutil.NoSuchProcess):
                mib = psutil.Process(pid).memory_info().rss / 2**20
                seen.peak_mib[name] = max(mib, seen.peak_mib.get(name, 0.0))

    async def _kill(self) -> str:
        """Kill a process (kill -9) at some instant of a block, and start it again."""
        victim = self._random.choice(VICTIMS)
        await asyncio.sleep(self._random.uniform(0, self._plan.block_seconds))
        self._progress(f"kill {victim}")
        if victim == POSTGRES:
            await self._stack.restart_postgres(number=signal.SIGQUIT)
        else:
            await self._stack.end(victim)
            await self._stack.begin(victim)
        return victim

    async def result(self, verdict: Verdict, paid: PaidDay, seconds: float) -> DayResult:
        """Return the result of the day."""
        view, first = self.reader.view, self._first or 0
        last = first + self._plan.blocks
        # The newest block is open: somebody planted in it to close the block before.
        open_block = max((block for _, block in view.plants), default=first)
        planted, worked, harvested = (
            Counter((block - first) // BLOCKS_PER_HOUR for _, block in events if block < last)
            for events in (view.plants, view.works, view.harvests)
        )
        return DayResult(
            origin=await origin(self._stack.admin_dsn),
            plan=self._plan,
            hours=[
                Hour(
                    number=hour + 1,
                    planted=planted[hour],
                    worked=worked[hour],
                    harvested=harvested[hour],
                    killed=tuple(self._seen[hour].killed) if hour in self._seen else (),
                    peak_mib=self._seen[hour].peak_mib if hour in self._seen else {},
                )
                for hour in range(math.ceil(self._plan.blocks / BLOCKS_PER_HOUR))
            ],
            seconds=seconds,
            compared=verdict.compared,
            differences=[*verdict.differences, *paid.differences],
            unworked=_missing(view.plants, view.works, open_block),
            unharvested=_missing(view.works, view.harvests, open_block),
            paid=paid,
        )


def _pooler(config: PoolerConfig) -> Command:
    """Return the command that runs the reference pooler as a process of its own."""
    if config.tls is None:
        raise ValueError("the pooler of a day shows a certificate")
    options: dict[str, object] = {
        "--id": config.pooler_id,
        "--blocks": config.blocks,
        "--enough-zeros": ENOUGH_ZEROS,
        "--closing-seconds": config.closing_seconds,
        "--tls-cert-file": config.tls.certificate,
        "--tls-key-file": config.tls.key,
        "--tls-ca-file": config.tls.authority,
        **{f"--{name}-target": target for name, target in asdict(config.targets).items()},
    }
    words = [str(word) for pair in options.items() for word in pair]
    return Command(name="pooler", arguments=("-m", "pooler", *words), environment={})


def _missing(
    done: Collection[tuple[str, int]], followed: Collection[tuple[str, int]], before: int
) -> int:
    """Return how many pails of blocks before a given one were not followed by the next step."""
    return sum(key[1] < before and key not in followed for key in done)


def _sum(view: ChainView) -> str:
    return f"{len(view.plants)} planted, {len(view.works)} worked, {len(view.harvests)} harvested"
