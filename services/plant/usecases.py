"""Use cases of plant: plan, run, report."""

from dataclasses import dataclass

from libs.batches.model import ChainHead, PoolerNotFoundError, WrongBlockError
from libs.batches.requests import Plan, complete
from libs.batches.runner import BatchRunner
from libs.common.db.pool import Session
from libs.common.ids import BatchId, FarmerId
from services.plant.domain.errors import PoolerSuspendedError
from services.plant.domain.model import PlantRequest, PlantSummary
from services.plant.domain.planning import plan
from services.plant.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Planter:
    """The use cases of one process."""

    #: plant's tables.
    store: Store
    #: Runs batches through wallet.
    runner: BatchRunner[tuple[FarmerId, int]]
    #: Farmers of one call of wallet.
    chunk_size: int

    async def plant(self, request: PlantRequest) -> PlantSummary:
        """Plant every eligible farmer, or join the batch that this request has made already."""
        batch = await complete(request, self._prepare, store=self.store, runner=self.runner)
        return PlantSummary(
            block_index=batch.block_index,
            pooler_id=batch.pooler_id,
            plantings=await self.store.events_of_batch(batch.batch_id),
            processing_time_ms=batch.processing_time_ms,
        )

    async def _prepare(self, request: PlantRequest) -> Plan:
        """Check the request; return its plan, which decides who plants with what stake."""
        await self._check(request)

        async def decide(session: Session) -> BatchId:
            candidates = await self.store.candidates(session, request)
            planned = plan(candidates, request.stakes)
            return await self.store.insert_plan(session, request, planned, self.chunk_size)

        return decide

    async def _check(self, request: PlantRequest) -> None:
        active = await self.store.pooler_is_active(request.pooler_id)
        if active is None:
            raise PoolerNotFoundError(f"no pooler {request.pooler_id}")
        if not active:
            raise PoolerSuspendedError(f"pooler {request.pooler_id} is suspended")
        head = await self.store.head()
        if request.block_index != head.plantable_block:
            raise _wrong_block(request.block_index, head)


def _wrong_block(index: int, head: ChainHead) -> WrongBlockError:
    return WrongBlockError(
        f"block {index} cannot be planted now, block {head.plantable_block} can",
        metadata=head.metadata(),
    )
