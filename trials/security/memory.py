"""Memory of the pool's processes, and whether it stays what it was."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from devstack.stack import Stack

MEBIBYTE = 1 << 20
#: What a process may grow after it has warmed up: caches fill, heaps fragment.
ALLOWED_SHARE = 0.10
ALLOWED_BYTES = 16 * MEBIBYTE


@dataclass(frozen=True, kw_only=True)
class Growth:
    """One process, before and after."""

    #: Short name of its service.
    process: str
    #: Resident bytes when it was warm.
    before: int
    #: Resident bytes at the end.
    after: int

    @property
    def is_flat(self) -> bool:
        """Whether it grew no more than caches and fragments explain."""
        return self.after - self.before <= max(ALLOWED_BYTES, self.before * ALLOWED_SHARE)

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.process} grew from {mebibytes(self.before)} to {mebibytes(self.after)} MiB"


def mebibytes(size: int) -> str:
    """For people."""
    return f"{size / MEBIBYTE:.1f}"


def resident(stack: Stack) -> dict[str, int]:
    """Resident bytes of each service's process."""
    return {
        name: psutil.Process(pid).memory_info().rss
        for name, pid in stack.pids().items()
        if name in stack.config.services
    }


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> list[Growth]:
    """Both together."""
    return [Growth(process=name, before=before[name], after=after[name]) for name in sorted(before)]
