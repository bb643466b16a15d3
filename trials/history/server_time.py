"""Processor time of PostgreSQL's processes, which other programs on the machine do not change."""

import time
from collections.abc import Sequence
from pathlib import Path


class ServerClock:
    """Clock of the seconds that processes have run; it only grows.

    Where Linux does not tell the seconds of processes, it is the wall clock.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._is_told = all(_file(pid).exists() for pid in pids)
        #: Nanoseconds that each process had run when it was last looked at.
        self._ran: dict[int, int] = {}
        self.count(pids)

    def count(self, pids: Sequence[int]) -> None:
        """Count these processes from now on, too."""
        self._ran.update({pid: 0 for pid in pids if pid not in self._ran})
        self()

    def __call__(self) -> float:
        """Return the seconds; a process that has ended has run for as long as it was seen to."""
        if not self._is_told:
            return time.perf_counter()
        for pid in self._ran:
            try:
                # Nanoseconds on a processor, nanoseconds waiting for one, turns.
                self._ran[pid] = int(_file(pid).read_bytes().split()[0])
            except (FileNotFoundError, ProcessLookupError):  # an idle connection is closed in time
                continue
        return sum(self._ran.values()) / 1e9


def _file(pid: int) -> Path:
    return Path(f"/proc/{pid}/schedstat")
