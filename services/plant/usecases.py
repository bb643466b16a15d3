"""What plant does: plan, run, tell."""

from dataclasses import dataclass

from libs.batches.listing import EventFilter
from libs.batches.model import ChainHead, PoolerNotFoundError, WrongBlockError
from libs.batches.runner import BatchRunner
from libs.common.failpoints import failpoint
from libs.common.ids import BatchId, FarmerId
from services.plant.domain.errors import PoolerSuspendedError
from services.plant.domain.model import Planting, PlantRequest, PlantSummary
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
        """Plants every eligible farmer, or joins the batch that this request is already."""
        batch = await self.store.batch_by_request(request.pooler_id, request.request_id)
        if batch is None:
            batch_id = await self._accept(request)
        else:
            batch_id = batch.joined_by(request.digest)
        await self.runner.run(batch_id)
        return await self._summary(batch_id)

    async def plantings(self, chosen: EventFilter) -> list[Planting]:
        """What was recorded, newest block first."""
        await self.store.check_filter(chosen)
        return await self.store.list_plantings(chosen)

    async def _accept(self, request: PlantRequest) -> BatchId:
        """Decides who plants what, and makes it durable."""
        await self._check(request)
        await self.store.ensure_partition(request.block_index)
        async with self.store.database.transaction() as session:
            await self.store.lock_pooler(session, request.pooler_id)
            batch = await self.store.batch_by_request(
                request.pooler_id, request.request_id, session
            )
            if batch is not None:
                return batch.joined_by(request.digest)
            candidates = await self.store.candidates(
                session, request.pooler_id, request.block_index, request.capacity
            )
            planned = plan(candidates, chunk_size=self.chunk_size)
            batch_id = await self.store.insert_batch(session, request, planned)
        await failpoint("plant.batch.accepted")
        return batch_id

    async def _check(self, request: PlantRequest) -> None:
        active = await self.store.pooler_is_active(request.pooler_id)
        if active is None:
            raise PoolerNotFoundError(f"no pooler {request.pooler_id}")
        if not active:
            raise PoolerSuspendedError(f"pooler {request.pooler_id} is suspended")
        head = await self.store.head()
        if request.block_index != head.plantable_block:
            raise _wrong_block(request.block_index, head)

    async def _summary(self, batch_id: BatchId) -> PlantSummary:
        batch = await self.store.batch(batch_id)
        return PlantSummary(
            block_index=batch.block_index,
            pooler_id=batch.pooler_id,
            plantings=await self.store.events_of_batch(batch_id),
            processing_time_ms=batch.processing_time_ms,
        )


def _wrong_block(index: int, head: ChainHead) -> WrongBlockError:
    return WrongBlockError(
        f"block {index} cannot be planted now, block {head.plantable_block} can",
        metadata=head.metadata(),
    )
