"""What work does: check, judge, run, tell."""

from dataclasses import dataclass

from libs.batches.listing import EventFilter
from libs.batches.runner import BatchRunner
from libs.common.clock import Clock
from libs.common.failpoints import failpoint
from libs.common.ids import BatchId, FarmerId
from services.work.domain.errors import PoolerNotFoundError, WrongBlockError
from services.work.domain.estimate import estimates
from services.work.domain.judging import judge, plan
from services.work.domain.model import Block, Work, WorkRequest, WorkSummary
from services.work.hashing import Hasher
from services.work.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """The use cases of one process."""

    #: work's tables.
    store: Store
    #: Runs batches through wallet.
    runner: BatchRunner[tuple[FarmerId, int, bytes]]
    #: Computes hashes.
    hasher: Hasher
    #: What time it is.
    clock: Clock
    #: Farmers of one call of wallet.
    chunk_size: int

    async def submit(self, request: WorkRequest) -> WorkSummary:
        """Sends the best nonce of each farmer, or joins the batch that this request is already."""
        batch = await self.store.batch_by_request(request.pooler_id, request.request_id)
        if batch is None:
            batch_id = await self._accept(request)
        else:
            batch_id = batch.joined_by(request.digest)
        await self.runner.run(batch_id)
        return await self._summary(batch_id)

    async def works(self, chosen: EventFilter) -> list[Work]:
        """What was recorded, newest block first."""
        await self.store.check_filter(chosen)
        return await self.store.list_works(chosen)

    async def _accept(self, request: WorkRequest) -> BatchId:
        """Judges every nonce, and makes it durable."""
        block = await self._check(request)
        farmer_ids = list({one.farmer_id for one in request.submissions})
        known = await self.store.farmers(request.pooler_id, block.index, farmer_ids)
        hashes = await self.hasher.hashes(request.submissions, known, block)
        await self.store.ensure_partition(request.block_index)
        async with self.store.database.transaction() as session:
            await self.store.lock_pooler(session, request.pooler_id)
            batch = await self.store.batch_by_request(
                request.pooler_id, request.request_id, session
            )
            if batch is not None:
                return batch.joined_by(request.digest)
            # Read again under the lock: what another call has sent meanwhile counts.
            farmers = await self.store.farmers(request.pooler_id, block.index, list(known), session)
            judged = judge(request.submissions, hashes, farmers, block, self.clock.now())
            batch_id = await self.store.insert_batch(
                session, request, judged, plan(judged, farmers), self.chunk_size
            )
        await failpoint("work.batch.accepted")
        return batch_id

    async def _check(self, request: WorkRequest) -> Block:
        if not await self.store.pooler_exists(request.pooler_id):
            raise PoolerNotFoundError(f"no pooler {request.pooler_id}")
        head = await self.store.head()
        block = await self.store.block(request.block_index)
        if block is None or request.block_index != head.current_block:
            raise WrongBlockError(
                f"block {request.block_index} cannot be worked now, the current one is "
                f"{head.current_block}",
                metadata=head.metadata(),
            )
        return block

    async def _summary(self, batch_id: BatchId) -> WorkSummary:
        batch = await self.store.batch(batch_id)
        block = await self.store.block(batch.block_index)
        if block is None:
            raise LookupError(f"block {batch.block_index} has gone")
        verdicts = await self.store.verdicts(batch_id)
        return WorkSummary(
            block_index=batch.block_index,
            pooler_id=batch.pooler_id,
            verdicts=verdicts,
            estimates=estimates(verdicts, block),
            processing_time_ms=batch.processing_time_ms,
        )
