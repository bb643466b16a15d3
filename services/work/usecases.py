"""Use cases of work: check, judge, run, report."""

from dataclasses import dataclass

from libs.batches.requests import Plan, complete
from libs.batches.runner import BatchRunner
from libs.common.clock import Clock
from libs.common.db.pool import Session
from libs.common.ids import BatchId, FarmerId
from services.work.domain.errors import WrongBlockError
from services.work.domain.estimate import estimates
from services.work.domain.judging import judge, plan
from services.work.domain.model import Block, WorkRequest, WorkSummary
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
    #: Clock that tells the current time.
    clock: Clock
    #: Farmers of one call of wallet.
    chunk_size: int

    async def submit(self, request: WorkRequest) -> WorkSummary:
        """Send the best nonce of each farmer, or join the batch of this request."""
        batch = await complete(request, self._prepare, store=self.store, runner=self.runner)
        block = await self.store.block(batch.block_index)
        if block is None:
            raise LookupError(f"block {batch.block_index} has gone")
        verdicts = await self.store.verdicts(batch.batch_id)
        return WorkSummary(
            block_index=batch.block_index,
            pooler_id=batch.pooler_id,
            verdicts=verdicts,
            estimates=estimates(verdicts, block),
            processing_time_ms=batch.processing_time_ms,
        )

    async def _prepare(self, request: WorkRequest) -> Plan:
        """Check the request and hash its nonces; return its plan, which judges each nonce."""
        block = await self._check(request)
        farmer_ids = list({one.farmer_id for one in request.submissions})
        known = await self.store.farmers(request.pooler_id, block.index, farmer_ids)
        hashes = await self.hasher.hashes(request.submissions, known, block)

        async def decide(session: Session) -> BatchId:
            # Read again under the lock: nonces that another call has sent meanwhile count.
            farmers = await self.store.farmers(request.pooler_id, block.index, list(known), session)
            judged = judge(request.submissions, hashes, farmers, block, self.clock.now())
            return await self.store.insert_judged(
                session, request, judged, plan(judged, farmers), self.chunk_size
            )

        return decide

    async def _check(self, request: WorkRequest) -> Block:
        await self.store.check_known(request.pooler_id)
        head = await self.store.head()
        block = await self.store.block(request.block_index)
        if block is None or request.block_index != head.current_block:
            raise WrongBlockError(
                f"block {request.block_index} cannot be worked now, the current one is "
                f"{head.current_block}",
                metadata=head.metadata(),
            )
        return block
