"""Counters of how often something was broken.

A breakage that struck nothing, because the phase was done before, has not happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trials.faults.arena import Arena


class Struck(Protocol):
    """The effects of a breakage."""

    async def so_far(self) -> int:
        """Return how often the breakage has struck by now."""


@dataclass(kw_only=True)
class Strikes:
    """Strikes counted by the breakage itself."""

    #: Strikes so far.
    count: int = 0

    async def so_far(self) -> int:
        """Return how often the breakage has struck by now."""
        return self.count


@dataclass(frozen=True, kw_only=True)
class Kills:
    """Processes that were ended since the phase began."""

    #: Arena that counts the kills.
    arena: Arena
    #: Number of kills before.
    before: int

    async def so_far(self) -> int:
        """Return how many processes were ended by now."""
        return self.arena.kills - self.before


@dataclass(frozen=True, kw_only=True)
class Waits:
    """Ledgers that a call had to wait for, as the ledger before was full."""

    #: Arena in which the call waits.
    arena: Arena
    #: Number of ledgers that had taken calls before.
    before: int

    async def so_far(self) -> int:
        """Return how many ledgers took calls by now, the first ledger excluded."""
        ledgers = await self.arena.records.count("count_ledgers")
        return max(0, ledgers - self.before - 1)


@dataclass(frozen=True, kw_only=True)
class Misdeeds:
    """Strikes counted by the node, which knows its own faults."""

    #: Arena of the node.
    arena: Arena
    #: The node's faults that were set.
    faults: Sequence[str]

    async def so_far(self) -> int:
        """Return the uses of the least used fault: all faults are to happen."""
        used = await self.arena.misdeeds()
        return min(used.get(name, 0) for name in self.faults)


@dataclass(frozen=True, kw_only=True)
class Lied:
    """Strikes counted by the nodes that lie."""

    #: Arena of the nodes.
    arena: Arena
    #: Numbers of the nodes.
    nodes: Sequence[int]

    async def so_far(self) -> int:
        """Return how many of the nodes' answers were false."""
        told = [await self.arena.misdeeds(node) for node in self.nodes]
        return sum(sum(used.values()) for used in told)
