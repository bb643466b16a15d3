"""What shares cost by HTTP, and how soon a thousand streams have a new block's job.

The process that serves has a core of its own where the system can give it one; miners are another
process. What counts is its CPU time: the clock also shows what else the machine does.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import quantiles

import aiohttp

from trials.machine import Origin, cores_of_this_process, origin, pin
from trials.shares.miner import ShareName, TrialMiner, shares_of
from trials.shares.server import Server

#: Shares a second that one core takes, at least.
SHARES = 2000
#: Milliseconds in which the streams have a new block's job, at most.
SOON = 300.0
#: Shares of a request, and shares that are brought with each size.
BATCHES = {1: 4000, 10: 12_000, 100: 30_000, 1000: 60_000}
#: Requests at a time.
_PARALLEL = 16
#: Seconds of a block for the streams, and blocks that are measured.
_BLOCK, _BLOCKS = 5.0, 6
#: Seconds in which every stream has to be open: one that was refused never is.
_READY_SECONDS = 600.0
#: Seconds of an answer: a busy machine takes minutes, and its CPU time counts all the same.
_TIMEOUT = aiohttp.ClientTimeout(total=600)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Shares of one size of batch."""

    #: Shares of a request, and all shares.
    batch: int
    shares: int
    #: Shares a second by the clock, and microseconds of the server's CPU for each.
    rate: float
    cpu_us: float

    @property
    def of_core(self) -> float:
        """Return the shares a second that one core takes."""
        return 1e6 / self.cpu_us


@dataclass(frozen=True, kw_only=True)
class Soon:
    """How soon streams have a new block's job."""

    #: Streams, and jobs that came to them.
    streams: int
    jobs: int
    #: Milliseconds from the moment that the pooler knows the block: median, 99th percentile, most.
    p50_ms: float
    p99_ms: float
    most_ms: float
    #: Milliseconds of the server's CPU for a block.
    cpu_ms: float
    #: KiB that the server grew by for each stream.
    kib_each: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """All that was measured."""

    origin: Origin
    #: Whether the server had a core of its own.
    is_pinned: bool
    rates: Sequence[Rate]
    soon: Soon

    @property
    def is_met(self) -> bool:
        """Tell whether the goals are met, the first one with the smallest batches."""
        is_whole = self.soon.jobs == self.soon.streams * _BLOCKS
        return self.rates[0].of_core >= SHARES and self.soon.most_ms <= SOON and is_whole


async def measure(
    *, streams: int, scale: float = 1.0, progress: Callable[[str], None] = lambda _: None
) -> Cost:
    """Measure all of it; `scale` makes it shorter."""
    cores = cores_of_this_process()
    own, others = (cores[:1], cores[1:]) if len(cores) > 1 else ([], [])
    pin(os.getpid(), others)
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(folder=Path(scratch), cores=own)
        async with server.running():
            rates = [
                await _rate(server, batch, max(batch, int(shares * scale)))
                for batch, shares in BATCHES.items()
            ]
        progress("shares measured")
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(
            folder=Path(scratch), cores=own, block_seconds=_BLOCK, tells_blocks=True, farmers=1000
        )
        async with server.running():
            soon = await _soon(server, streams)
    return Cost(origin=await origin(), is_pinned=bool(own), rates=rates, soon=soon)


async def _rate(server: Server, batch: int, shares: int) -> Rate:
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
        miner = TrialMiner(http=http, url=server.url, worker=f"rig-{batch}")
        await miner.join()
        found = list(islice(shares_of(await miner.outlasting(miner.job)), shares))
        batches = iter([found[at : at + batch] for at in range(0, len(found), batch)])
        before, begun = _cpu(server), time.perf_counter()
        await asyncio.gather(*(_bring(miner, batches) for _ in range(_PARALLEL)))
        seconds, used = time.perf_counter() - begun, _cpu(server) - before
    if miner.codes["ACCEPTED"] != shares:
        raise AssertionError(f"of {shares} shares: {dict(miner.codes)}")
    return Rate(batch=batch, shares=shares, rate=shares / seconds, cpu_us=used / shares * 1e6)


async def _bring(miner: TrialMiner, batches: Iterator[list[ShareName]]) -> None:
    for batch in batches:
        await miner.bring(batch)


def _cpu(server: Server) -> float:
    times = server.process.cpu_times()
    return float(times.user + times.system)


async def _soon(server: Server, streams: int) -> Soon:
    before = server.process.memory_info().rss
    opened: dict[int, float] = {}
    came: list[tuple[int, float]] = []
    ready = asyncio.Semaphore(0)
    connector = aiohttp.TCPConnector(limit=0)
    no_limit = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=no_limit) as http:
        miners = [
            TrialMiner(http=http, url=server.url, worker=f"rig-{number}")
            for number in range(streams)
        ]
        for miner in miners:
            await miner.join()
        readers = [asyncio.create_task(_read(miner, came, ready)) for miner in miners]
        try:
            async with asyncio.timeout(_READY_SECONDS):
                for _ in readers:  # every stream has its first job
                    await ready.acquire()
            after, begun = server.process.memory_info().rss, time.time()
            used = _cpu(server)
            while len(opened) < _BLOCKS:
                told = await server.line()
                if told["at"] > begun:
                    opened[int(told["block"])] = told["at"]
            await asyncio.sleep(_BLOCK / 2)
            used = _cpu(server) - used
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
    waits = sorted((at - opened[block]) * 1000 for block, at in came if block in opened)
    cuts = quantiles(waits, n=100)
    return Soon(
        streams=streams,
        jobs=len(waits),
        p50_ms=cuts[49],
        p99_ms=cuts[98],
        most_ms=waits[-1],
        cpu_ms=used / _BLOCKS * 1000,
        kib_each=(after - before) / 1024 / streams,
    )


async def _read(miner: TrialMiner, came: list[tuple[int, float]], ready: asyncio.Semaphore) -> None:
    headers = {"Authorization": f"Bearer {miner.credential}"}
    url = f"{miner.url}/events?worker={miner.worker}"
    is_first = True
    async with miner.http.get(url, headers=headers) as response:
        async for line in response.content:
            if not line.startswith(b'data: {"jobs"'):
                continue
            at = time.time()
            came.append((json.loads(line[6:])["jobs"][0]["block"], at))
            if is_first:
                is_first = False
                ready.release()
