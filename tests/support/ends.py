"""How operations ended, for tests of plant, work and harvest without a wallet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from libs.batches.model import TAMPERED


@dataclass(kw_only=True)
class Ends:
    """A judge that believes what wallet's rows say, but for those that a test names."""

    #: Operations whose ends wallet did not write.
    tampered: set[UUID] = field(default_factory=set)
    #: Operations that have not ended by wallet's word.
    open: set[UUID] = field(default_factory=set)
    #: What was asked for, call by call.
    asked: list[Mapping[UUID, str]] = field(default_factory=list)

    async def ends(self, settled: Mapping[UUID, str]) -> Mapping[UUID, str]:
        """See libs.batches.model.Judge."""
        self.asked.append(settled)
        return {
            name: TAMPERED if name in self.tampered else state
            for name, state in settled.items()
            if name not in self.open
        }
