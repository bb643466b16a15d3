"""Finds out what the blocks that miners worked for have earned, by the pool's records."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from client import ChainWatch, PoolClient, PoolerId
from pooler.shares.domain.model import BlockState
from pooler.shares.service import Shares

#: Seconds until a block that is not harvested as a whole is looked at again; twice as many after
#: each look, up to the most.
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 900.0
#: Blocks after which nothing of a block can be harvested any more: its pails live for a day.
_LIFE = 300
#: Blocks after which all works of a block are in the records, whoever has sent them.
_KNOWN = 2


@dataclass(kw_only=True)
class _Wait:
    """When a block is looked at again."""

    at: float
    seconds: float


class Settling:
    """Looks at closed blocks until each is harvested, then has it divided."""

    def __init__(
        self,
        shares: Shares,
        client: PoolClient,
        pooler_id: PoolerId,
        watch: ChainWatch,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Take the work for miners, and the pool whose records tell what was earned."""
        self._shares = shares
        self._client = client
        self._pooler_id = pooler_id
        self._watch = watch
        self._clock = clock
        self._worked: set[int] = set()
        self._waits: dict[int, _Wait] = {}
        #: All blocks before this one are closed.
        self._closed = -1

    def worked(self, index: int) -> None:
        """Note that all works of a block are settled: the records have all of them."""
        self._worked.add(index)

    async def settle(self, *, is_last: bool = False) -> None:
        """Divide the blocks that are harvested by now. Raise PoolError.

        The last look is at all blocks, also at those that were looked at a moment ago.
        """
        current = self._watch.head.current_block
        if current > self._closed:
            await self._shares.close_before(current)
            self._closed = current
        for row in await self._shares.store.blocks_in(BlockState.CLOSED):
            wait = self._waits.get(row.block)
            if not is_last and wait is not None and self._clock() < wait.at:
                continue
            rewards = await self._earned(row.block, current)
            if rewards is None:
                self._wait(row.block)
                continue
            await self._shares.harvested(row.block, rewards)
            self._waits.pop(row.block, None)
            self._worked.discard(row.block)

    async def _earned(self, index: int, current: int) -> int | None:
        """Return all that a block will ever earn; None while that is not known."""
        is_known = index in self._worked or current - index >= _KNOWN
        if not is_known:
            return None
        worked = {one.farmer_id async for one in self._client.worked(self._pooler_id, index)}
        paid = {
            one.farmer_id: one.amount
            async for one in self._client.harvested(self._pooler_id, index)
        }
        is_over = worked <= paid.keys() or current - index > _LIFE
        return sum(paid.values()) if is_over else None

    def _wait(self, index: int) -> None:
        before = self._waits.get(index)
        seconds = _FIRST_WAIT if before is None else min(2 * before.seconds, _LONGEST_WAIT)
        self._waits[index] = _Wait(at=self._clock() + seconds, seconds=seconds)
