"""What reconciliation recorded, and no batch asked for, becomes events, too."""

from typing import Protocol

from libs.batches.model import ChainHead
from libs.common.log import get_logger

log = get_logger(__name__)

#: Blocks that are looked back: two days, where the chain keeps a pail for one.
HORIZON = 600


class FoundStore(Protocol):
    """What is needed of a service's tables."""

    async def head(self) -> ChainHead:
        """Where the chain is."""
        ...

    async def record_found(self, first_block: int) -> int:
        """Writes events for what reconciliation recorded in the blocks from one on; how many."""
        ...


class FoundRecorder:
    """One per service and process.

    It goes by blocks and not by a cursor, which could pass over what another process commits late.
    The first look is at all blocks: reconciliation may have gone on while the service was away.
    """

    def __init__(self, name: str, store: FoundStore) -> None:
        self._name = name
        self._store = store
        self._looked = False

    async def step(self) -> int:
        """One look; how many events were written."""
        current = (await self._store.head()).current_block or 0
        first = max(0, current - HORIZON) if self._looked else 0
        recorded = await self._store.record_found(first)
        self._looked = True
        if recorded:
            log.info("found recorded", service_batch=self._name, events=recorded)
        return recorded
