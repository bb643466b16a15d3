"""Use cases of harvest: plan, run, report, sweep."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from libs.batches.model import BatchRequest, FarmerNotFoundError, digest_of
from libs.batches.requests import Plan, complete
from libs.batches.runner import BatchRunner
from libs.common.db.pool import Session
from libs.common.ids import BatchId, FarmerId, PoolerId, new_id
from libs.common.log import get_logger
from services.harvest.domain.errors import BlockNotClosedError
from services.harvest.domain.model import (
    Balance,
    HarvestSummary,
    PendingBlock,
)
from services.harvest.store.store import Store

log = get_logger(__name__)

#: Blocks of poolers that are swept at the same time.
_SWEEPS = 10


@dataclass(frozen=True, kw_only=True)
class Harvester:
    """The use cases of one process."""

    #: harvest's tables.
    store: Store
    #: Runs batches through wallet.
    runner: BatchRunner[FarmerId]
    #: Farmers of one call of wallet.
    chunk_size: int
    #: Seconds that a sweep waits for one block; the block's batch goes on by itself.
    patience: float

    async def harvest(self, request: BatchRequest) -> HarvestSummary:
        """Harvest for everyone who worked in the block, or join the batch of this request."""
        batch = await complete(request, self._prepare, store=self.store, runner=self.runner)
        return HarvestSummary(
            block_index=batch.block_index,
            pooler_id=batch.pooler_id,
            harvests=await self.store.events_of_batch(batch.batch_id),
            processing_time_ms=batch.processing_time_ms,
        )

    async def harvest_pending(
        self,
        pooler_id: PoolerId | None,
        max_blocks: int,
        *,
        pause: float | None = None,
        after: int = 1,
    ) -> tuple[list[HarvestSummary], int]:
        """Sweep closed blocks, earliest expiry first; also return how many harvests are still open.

        With a pause (seconds), a failed harvest waits 1, 2, 4 ... 32 times as long before the next
        try; without a pause, everything is tried. A pooler's blocks wait until the running block is
        `after` blocks behind the oldest of them.
        """
        if pooler_id is not None:
            await self.store.check_known(pooler_id)
        current = (await self.store.head()).current_block or 0
        pending = await self.store.pending_blocks(
            pooler_id=pooler_id,
            current_block=current,
            limit=max_blocks,
            pause=pause,
            after=after,
        )
        swept = await self._sweep_all(pending)
        left = await self.store.count_pending(pooler_id=pooler_id, current_block=current)
        return [summary for summary in swept if summary is not None], left

    async def balance(self, farmer_id: FarmerId) -> Balance:
        """Return a farmer's earnings."""
        balance = await self.store.balance(farmer_id)
        if balance is not None:
            return balance
        if not await self.store.farmer_exists(farmer_id):
            raise FarmerNotFoundError(f"no farmer {farmer_id}")
        return Balance(
            farmer_id=farmer_id, current_balance=0, total_rewards=0, harvests=0, updated_at=None
        )

    async def _sweep_all(self, pending: Sequence[PendingBlock]) -> list[HarvestSummary | None]:
        """Sweep the blocks in order, several at a time: each takes a ledger at least."""
        slots = asyncio.Semaphore(_SWEEPS)

        async def sweep(block: PendingBlock) -> HarvestSummary | None:
            async with slots:
                return await self._sweep(block)

        return await asyncio.gather(*map(sweep, pending))

    async def _sweep(self, block: PendingBlock) -> HarvestSummary | None:
        """Harvest one block.

        Returns None when that takes too long: the other blocks must not wait for it.
        """
        try:
            async with asyncio.timeout(self.patience):
                return await self.harvest(_sweep_request(block.pooler_id, block.block_index))
        except TimeoutError:
            log.warning("sweep goes on without", block=block.block_index)
            return None

    async def _prepare(self, request: BatchRequest) -> Plan:
        """Check the request; return its plan, which decides who is harvested."""
        await self._check(request)

        async def decide(session: Session) -> BatchId:
            candidates = await self.store.candidates(
                session, request.pooler_id, request.block_index
            )
            return await self.store.insert_batch(session, request, candidates, self.chunk_size)

        return decide

    async def _check(self, request: BatchRequest) -> None:
        await self.store.check_known(request.pooler_id)
        head = await self.store.head()
        if head.current_block is None or request.block_index >= head.current_block:
            raise BlockNotClosedError(
                f"block {request.block_index} is not closed: nobody has planted in the next one",
                metadata=head.metadata(),
            )


def _sweep_request(pooler_id: PoolerId, block_index: int) -> BatchRequest:
    """Return a fresh request, so that a failed harvest is tried again."""
    return BatchRequest(
        pooler_id=pooler_id,
        block_index=block_index,
        request_id=f"sweep:{new_id()}",
        digest=digest_of(str(pooler_id), block_index),
    )
