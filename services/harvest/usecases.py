"""What harvest does: plan, run, tell, sweep."""

from dataclasses import dataclass

from libs.batches.model import digest_of
from libs.batches.runner import BatchRunner
from libs.common.failpoints import failpoint
from libs.common.ids import BatchId, FarmerId, PoolerId, new_id
from services.harvest.domain.errors import (
    BlockNotClosedError,
    FarmerNotFoundError,
    PoolerNotFoundError,
)
from services.harvest.domain.model import Balance, HarvestRequest, HarvestSummary
from services.harvest.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Harvester:
    """The use cases of one process."""

    #: harvest's tables.
    store: Store
    #: Runs batches through wallet.
    runner: BatchRunner[FarmerId]
    #: Farmers of one call of wallet.
    chunk_size: int

    async def harvest(self, request: HarvestRequest) -> HarvestSummary:
        """Harvests everyone who worked in the block, or joins the batch that this is already."""
        batch = await self.store.batch_by_request(request.pooler_id, request.request_id)
        if batch is None:
            batch_id = await self._accept(request)
        else:
            batch_id = batch.joined_by(request.digest)
        await self.runner.run(batch_id)
        return await self._summary(batch_id)

    async def harvest_pending(
        self, pooler_id: PoolerId | None, max_blocks: int
    ) -> tuple[list[HarvestSummary], int]:
        """Sweeps closed blocks, earliest expiry first; also how many harvests are still open."""
        if pooler_id is not None and not await self.store.pooler_exists(pooler_id):
            raise PoolerNotFoundError(f"no pooler {pooler_id}")
        current = (await self.store.head()).current_block or 0
        pending = await self.store.pending_blocks(
            pooler_id=pooler_id, current_block=current, limit=max_blocks
        )
        summaries = [
            await self.harvest(_sweep_request(block.pooler_id, block.block_index))
            for block in pending
        ]
        left = await self.store.pending_blocks(
            pooler_id=pooler_id, current_block=current, limit=max_blocks
        )
        return summaries, sum(block.farmers for block in left)

    async def balance(self, farmer_id: FarmerId) -> Balance:
        """What a farmer has earned."""
        balance = await self.store.balance(farmer_id)
        if balance is not None:
            return balance
        if not await self.store.farmer_exists(farmer_id):
            raise FarmerNotFoundError(f"no farmer {farmer_id}")
        return Balance(
            farmer_id=farmer_id, current_balance=0, total_rewards=0, harvests=0, updated_at=None
        )

    async def _accept(self, request: HarvestRequest) -> BatchId:
        """Decides who is harvested, and makes it durable."""
        await self._check(request)
        async with self.store.database.transaction() as session:
            await self.store.lock_block(session, request.pooler_id, request.block_index)
            batch = await self.store.batch_by_request(
                request.pooler_id, request.request_id, session
            )
            if batch is not None:
                return batch.joined_by(request.digest)
            candidates = await self.store.candidates(
                session, request.pooler_id, request.block_index
            )
            batch_id = await self.store.insert_batch(session, request, candidates, self.chunk_size)
        await failpoint("harvest.batch.accepted")
        return batch_id

    async def _check(self, request: HarvestRequest) -> None:
        if not await self.store.pooler_exists(request.pooler_id):
            raise PoolerNotFoundError(f"no pooler {request.pooler_id}")
        head = await self.store.head()
        if head.current_block is None or request.block_index >= head.current_block:
            raise BlockNotClosedError(
                f"block {request.block_index} is not closed: nobody has planted in the next one",
                metadata=head.metadata(),
            )

    async def _summary(self, batch_id: BatchId) -> HarvestSummary:
        batch = await self.store.batch(batch_id)
        return HarvestSummary(
            block_index=batch.block_index,
            pooler_id=batch.pooler_id,
            harvests=await self.store.events_of_batch(batch_id),
            processing_time_ms=batch.processing_time_ms,
        )


def _sweep_request(pooler_id: PoolerId, block_index: int) -> HarvestRequest:
    """A fresh request: what failed before is tried again."""
    return HarvestRequest(
        pooler_id=pooler_id,
        block_index=block_index,
        request_id=f"sweep:{new_id()}",
        digest=digest_of(str(pooler_id), block_index),
    )
