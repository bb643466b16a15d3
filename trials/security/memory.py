"""Memory of the pool's processes, and a check that the memory does not grow."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from devstack.stack import Stack

MEBIBYTE = 1 << 20
#: Growth that a process may have after its warm-up: caches fill, heaps fragment.
ALLOWED_SHARE = 0.10
ALLOWED_BYTES = 16 * MEBIBYTE


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The memory of one process, before and after."""

    #: Short name of the process's service.
    process: str
    #: Resident bytes after the warm-up.
    before: int
    #: Resident bytes at the end.
    after: int

    @property
    def is_flat(self) -> bool:
        """Tell whether the memory grew no more than caches and fragments explain."""
        return self.after - self.before <= max(ALLOWED_BYTES, self.before * ALLOWED_SHARE)

    @property
    def text(self) -> str:
        """Return the growth in words."""
        return f"{self.process} grew from {mebibytes(self.before)} to {mebibytes(self.after)} MiB"


def mebibytes(size: int) -> str:
    """Return a size in MiB for people."""
    return f"{size / MEBIBYTE:.1f}"


def resident(stack: Stack) -> dict[str, int]:
    """Return the resident bytes of each service's process."""
    return {
        name: psutil.Process(pid).memory_info().rss
        for name, pid in stack.pids().items()
        if name in stack.config.services
    }


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> list[Growth]:
    """Return the growth of each process from both readings."""
    return [Growth(process=name, before=before[name], after=after[name]) for name in sorted(before)]
