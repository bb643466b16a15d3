"""CPU time and memory of processes, on Linux and macOS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

#: Seconds between two readings of the memory.
_INTERVAL = 0.25
_MIB = 1024 * 1024


@dataclass(kw_only=True)
class Reading:
    """CPU time and memory that some processes used while they were measured.

    The figures are complete after the `measure` block has ended.
    """

    #: Seconds of CPU, user and system, of all processes together.
    cpu_seconds: float = 0.0
    #: Largest resident set of any one process, in MiB.
    peak_mib: float = 0.0
    #: Seconds on the wall clock.
    wall_seconds: float = 0.0


@asynccontextmanager
async def measure(pids: Iterable[int]) -> AsyncIterator[Reading]:
    """Measure processes while the block runs; the processes must live that long."""
    processes = [psutil.Process(pid) for pid in pids]
    loop, reading = asyncio.get_running_loop(), Reading()
    watcher = asyncio.create_task(_watch_memory(processes, reading))
    cpu, started = _cpu(processes), loop.time()
    try:
        yield reading
    finally:
        reading.wall_seconds = loop.time() - started
        reading.cpu_seconds = _cpu(processes) - cpu
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


def _cpu(processes: Iterable[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(item.user + item.system for item in times)


async def _watch_memory(processes: Iterable[psutil.Process], reading: Reading) -> None:
    while True:
        with contextlib.suppress(psutil.NoSuchProcess):
            largest = max(process.memory_info().rss for process in processes)
            reading.peak_mib = max(reading.peak_mib, largest / _MIB)
        await asyncio.sleep(_INTERVAL)
