"""The nonce search over all processors: worker processes, whose finds are checked and merged."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from time import monotonic

from client import FarmerId, Submission, leading_zeros, work_hash
from pooler.search import Job

#: Zeros that no hash exceeds: the search ends by time alone.
NEVER_ENOUGH = 64


class MinerError(Exception):
    """A worker process ended before its time."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A farmer to search for."""

    #: The farmer whose nonce it will be.
    farmer_id: FarmerId
    #: The 32 bytes in its address.
    key: bytes


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """The block and the farmers to search for, and the time budget."""

    #: Index of the block.
    index: int
    #: Entropy of the block, 32 bytes.
    entropy: bytes
    #: The farmers; they share the processors evenly.
    targets: Sequence[Target]
    #: Time budget in seconds from when the workers are up; every farmer gets a nonce even at 0.
    seconds: float
    #: A farmer with this many zeros is not searched for any more.
    enough_zeros: int = NEVER_ENOUGH


@dataclass(frozen=True, kw_only=True)
class Found:
    """The best nonce of one farmer so far."""

    #: The farmer whose nonce it is.
    farmer_id: FarmerId
    #: The nonce.
    nonce: int
    #: Leading zero hex digits of its hash.
    zeros: int
    #: The hash, computed again by the contract's rule.
    digest: bytes
    #: When it arrived.
    found_at: datetime

    def submission(self) -> Submission:
        """Return what is sent to the pool."""
        return Submission(farmer_id=self.farmer_id, nonce=self.nonce, found_at=self.found_at)


class Search:
    """A running search; see open_search."""

    def __init__(self, request: SearchRequest, workers: Sequence[Process]) -> None:
        """Take `workers` that are started and have not got their job yet."""
        self._request = request
        self._hashes = dict.fromkeys(range(len(workers)), 0)
        self._improved: asyncio.Queue[Found | None] = asyncio.Queue()
        self._started = monotonic()
        #: The best nonce of each farmer so far.
        self.best: dict[FarmerId, Found] = {}
        #: Ends when all workers have; fails with MinerError when one breaks down.
        self.reading = asyncio.create_task(self._read_all(workers))

    @property
    def hashes(self) -> int:
        """Return the hashes computed so far, over all workers."""
        return sum(self._hashes.values())

    @property
    def seconds(self) -> float:
        """Return the seconds since the search began."""
        return monotonic() - self._started

    async def improvements(self) -> AsyncIterator[Found]:
        """Yield each nonce that is better than the farmer's best so far, until the search is over.

        Raise MinerError when a worker breaks down. To be iterated once.
        """
        while (found := await self._improved.get()) is not None:
            yield found
        await self.reading

    async def finish(self) -> dict[FarmerId, Found]:
        """Search to the end; return the best nonce of every farmer. Raise MinerError."""
        await self.reading
        return self.best

    async def _read_all(self, workers: Sequence[Process]) -> None:
        try:
            await asyncio.gather(*(self._read(*numbered) for numbered in enumerate(workers)))
        finally:
            self._improved.put_nowait(None)

    async def _read(self, number: int, worker: Process) -> None:
        assert worker.stdin is not None  # noqa: S101  (a PIPE, as the type checker cannot know)
        assert worker.stdout is not None  # noqa: S101
        worker.stdin.write(_job_line(self._request))
        await worker.stdin.drain()
        async for line in worker.stdout:
            message = json.loads(line)
            if "hashes" in message:
                self._hashes[number] = message["hashes"]
            else:
                self._take(target=message["target"], nonce=message["nonce"])
        if await worker.wait() != 0:
            raise MinerError(f"a search process ended with status {worker.returncode}")

    def _take(self, *, target: int, nonce: int) -> None:
        found = _checked(self._request, self._request.targets[target], nonce)
        best = self.best.get(found.farmer_id)
        if best is None or found.zeros > best.zeros:
            self.best[found.farmer_id] = found
            self._improved.put_nowait(found)


@asynccontextmanager
async def open_search(
    request: SearchRequest, *, processes: int | None = None
) -> AsyncIterator[Search]:
    """Start the worker processes (one per processor by default) and end them at the exit.

    Whatever ends the block, cancellation included, no worker outlives it.
    """
    workers: list[Process] = []
    running: Search | None = None
    try:
        for _ in range(processes or os.cpu_count() or 1):
            workers.append(await _start())  # noqa: PERF401  (those started must be known below)
        running = Search(request, workers)
        yield running
    finally:
        if running is not None:
            running.reading.cancel()
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
        # Their exit status no longer matters, only that they are gone.
        ends = [worker.wait() for worker in workers]
        await asyncio.gather(*ends, *([running.reading] if running else []), return_exceptions=True)


async def search(request: SearchRequest, *, processes: int | None = None) -> AsyncIterator[Found]:
    """Yield the improvements of a whole search; closing the iterator ends the search."""
    async with open_search(request, processes=processes) as running:
        async for found in running.improvements():
            yield found


async def _start() -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pooler.search", stdin=PIPE, stdout=PIPE
    )


def _job_line(request: SearchRequest) -> bytes:
    job = Job(
        index=request.index,
        entropy=request.entropy.hex(),
        keys=[target.key.hex() for target in request.targets],
        seconds=request.seconds,
        enough_zeros=request.enough_zeros,
    )
    return json.dumps(asdict(job)).encode() + b"\n"


def _checked(request: SearchRequest, target: Target, nonce: int) -> Found:
    digest = work_hash(
        index=request.index, nonce=nonce, entropy=request.entropy, farmer_key=target.key
    )
    return Found(
        farmer_id=target.farmer_id,
        nonce=nonce,
        zeros=leading_zeros(digest),
        digest=digest,
        found_at=datetime.now(UTC),
    )
