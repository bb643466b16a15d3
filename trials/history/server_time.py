"""Processor time of PostgreSQL's processes, which other programs on the machine do not change."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

#: Clock in seconds that only grows.
Clock: TypeAlias = Callable[[], float]


def server_clock(pids: Sequence[int]) -> Clock:
    """Return a clock of the seconds that these processes have run.

    Where Linux does not tell the seconds of processes, the clock is the wall clock.
    """
    files = [Path(f"/proc/{pid}/schedstat") for pid in pids]
    if not all(file.exists() for file in files):
        return time.perf_counter

    def read() -> float:
        # Nanoseconds on a processor, nanoseconds waiting for one, turns.
        return sum(int(file.read_bytes().split()[0]) for file in files) / 1e9

    return read
