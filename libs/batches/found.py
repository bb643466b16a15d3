"""Events for what reconciliation recorded and no batch asked for."""

from typing import Protocol

from libs.batches.model import HORIZON, ChainHead
from libs.common.log import get_logger

log = get_logger(__name__)

#: Blocks that most looks go back: what reconciliation compares, twice over.
NEAR = 24
#: Looks until one goes all the way: strangers may harvest old blocks, and many of them.
WIDE_EVERY = 60


class FoundStore(Protocol):
    """The part of a service's tables that the recorder needs."""

    async def head(self) -> ChainHead:
        """Return where the chain is."""
        ...

    async def record_found(self, first_block: int) -> int:
        """Write events for what reconciliation recorded from block `first_block` on.

        Return the number of events.
        """
        ...


class FoundRecorder:
    """The recorder of found events; one per service and process.

    It selects events by block and not by a cursor, which could pass over what another process
    commits late. The first look is at all blocks: reconciliation may have gone on while the service
    was away. A later look costs more the further back it goes, and most later looks find nothing.
    """

    def __init__(self, name: str, store: FoundStore) -> None:
        self._name = name
        self._store = store
        #: Looks so far.
        self._looks = 0

    async def step(self) -> int:
        """Look once; return how many events were written."""
        current = (await self._store.head()).current_block or 0
        back = HORIZON if self._looks % WIDE_EVERY == 0 else NEAR
        first = max(0, current - back) if self._looks else 0
        recorded = await self._store.record_found(first)
        self._looks += 1
        if recorded:
            log.info("found recorded", service_batch=self._name, events=recorded)
        return recorded
