"""How often something was broken: what was set up and met nothing, as the phase was through before,
has not happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trials.faults.arena import Arena


class Struck(Protocol):
    """What a breakage has done."""

    async def so_far(self) -> int:
        """How often it has struck by now."""


@dataclass(kw_only=True)
class Strikes:
    """Counted by the breakage itself."""

    #: So far.
    count: int = 0

    async def so_far(self) -> int:
        """How often it has struck by now."""
        return self.count


@dataclass(frozen=True, kw_only=True)
class Kills:
    """Processes that were ended since the phase began."""

    #: Where they are counted.
    arena: Arena
    #: How many there had been before.
    before: int

    async def so_far(self) -> int:
        """How many there are by now."""
        return self.arena.kills - self.before


@dataclass(frozen=True, kw_only=True)
class Waits:
    """Ledgers that something had to wait for, as the one before was full."""

    #: Where it waits.
    arena: Arena
    #: Ledgers that had taken anything before.
    before: int

    async def so_far(self) -> int:
        """How many ledgers it took by now, but for the first."""
        ledgers = await self.arena.records.count("count_ledgers")
        return max(0, ledgers - self.before - 1)


@dataclass(frozen=True, kw_only=True)
class Misdeeds:
    """Counted by the node, which knows what it did."""

    #: Where it runs.
    arena: Arena
    #: Its faults that were set.
    faults: Sequence[str]

    async def so_far(self) -> int:
        """Uses of the least used of them: all of them are to happen."""
        used = await self.arena.misdeeds()
        return min(used.get(name, 0) for name in self.faults)


@dataclass(frozen=True, kw_only=True)
class Lied:
    """Counted by the nodes that lie."""

    #: Where they run.
    arena: Arena
    #: Their numbers.
    nodes: Sequence[int]

    async def so_far(self) -> int:
        """How many of their answers were not as they should have been."""
        told = [await self.arena.misdeeds(node) for node in self.nodes]
        return sum(sum(used.values()) for used in told)
