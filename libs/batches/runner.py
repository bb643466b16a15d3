"""The runner of batches through wallet to their end, whoever goes away or crashes meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from libs.batches.found import FoundRecorder
from libs.batches.model import BatchStore, Chunk
from libs.common.errors import ErrorCode, PoolError
from libs.common.failpoints import failpoint
from libs.common.grpc.deadlines import set_deadline
from libs.common.ids import BatchId
from libs.common.log import get_logger
from libs.common.singleflight import SingleFlight

log = get_logger(__name__)

ItemT = TypeVar("ItemT")
#: Hands a chunk to wallet and returns when all of it is settled.
Submit = Callable[[Chunk[ItemT]], Awaitable[None]]

#: Codes with which wallet refuses a chunk for good; with any other the same call may succeed later.
_FINAL = frozenset(
    {
        ErrorCode.FAILED_PRECONDITION,
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.NOT_FOUND,
        ErrorCode.OUT_OF_RANGE,
        ErrorCode.PERMISSION_DENIED,
    }
)
#: Wallet's reasons as failure reasons (common.proto).
_REASONS = {"WRONG_BLOCK": "BLOCK_CLOSED", "BLOCK_NOT_CLOSED": "BLOCK_OPEN"}
#: Seconds between two tries, doubled up to the last.
_FIRST_DELAY, _LAST_DELAY = 0.2, 5.0
#: Seconds after which what is settled is recorded while other operations of the batch are open.
_RECORD_EVERY = 5.0


class BatchRunner(Generic[ItemT]):
    """The runner of one service's batches; at most one task per batch in this process.

    Several processes may run the same batch: wallet joins calls with the same request id, and
    recording passes over what is recorded already.
    """

    def __init__(
        self,
        name: str,
        store: BatchStore[ItemT],
        submit: Submit[ItemT],
        *,
        parallel: int,
        record_every: float = _RECORD_EVERY,
    ) -> None:
        """Set how many chunks of one batch are with wallet at a time: `parallel`.

        Settled items are recorded every `record_every` seconds while the rest of the batch is open.
        """
        #: The service's.
        self.name = name
        self._store = store
        self._submit = submit
        self._parallel = parallel
        self._record_every = record_every
        self._flight: SingleFlight[None] = SingleFlight()

    async def run(self, batch_id: BatchId) -> None:
        """Return when the batch is complete; leaving early does not stop the batch."""
        await self._flight.run(batch_id, lambda: self._complete(batch_id))

    async def recover(self) -> None:
        """Start every open batch that does not run in this process."""
        for batch_id in await self._store.open_batches():
            if batch_id not in self._flight.running():
                log.info("batch resumed", service_batch=self.name, batch=str(batch_id))
                task = asyncio.create_task(self.run(batch_id))
                task.add_done_callback(_log_failure)

    async def aclose(self) -> None:
        """Stop the running batches; open batches go on at the next start."""
        await self._flight.aclose()

    async def _complete(self, batch_id: BatchId) -> None:
        set_deadline(None)  # the batch's time is not its caller's
        await failpoint(f"{self.name}.batch.planned")
        delay = _FIRST_DELAY
        while True:
            try:
                async with self._recording(batch_id):
                    await self._send_all(batch_id)
                await failpoint(f"{self.name}.batch.settled")
                if await self._store.record(batch_id):
                    await failpoint(f"{self.name}.batch.recorded")
                    return
            except PoolError as error:
                log.warning("batch delayed", batch=str(batch_id), reason=error.reason)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LAST_DELAY)

    @asynccontextmanager
    async def _recording(self, batch_id: BatchId) -> AsyncIterator[None]:
        """Record settled items at intervals while the block runs.

        One farmer whose operation stays open (its signing is paused, say) must not hide the results
        of the others.
        """

        async def record() -> None:
            while True:
                await asyncio.sleep(self._record_every)
                try:
                    await self._store.record(batch_id)
                except PoolError as error:
                    log.warning("recording delayed", batch=str(batch_id), reason=error.reason)

        beside = asyncio.create_task(record())
        try:
            yield
        finally:
            beside.cancel()
            await asyncio.wait([beside])

    async def _send_all(self, batch_id: BatchId) -> None:
        """Send every chunk; a chunk that fails does not stop the others."""
        chunks = await self._store.chunks(batch_id)
        # One semaphore per batch: a batch that wallet is slow with must not delay other poolers.
        limit = asyncio.Semaphore(self._parallel)
        results = await asyncio.gather(
            *(self._send(batch_id, chunk, limit) for chunk in chunks), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _send(self, batch_id: BatchId, chunk: Chunk[ItemT], limit: asyncio.Semaphore) -> None:
        async with limit:
            try:
                await self._submit(chunk)
            except PoolError as error:
                if error.code not in _FINAL:
                    raise
                reason = _REASONS.get(error.reason, "REFUSED")
                await self._store.refuse(batch_id, chunk.number, reason, error.message)


async def recover_for_ever(
    runner: BatchRunner[ItemT], found: FoundRecorder, *, interval: float
) -> None:
    """Run the recovery loop: at start and every `interval` seconds."""
    while True:
        for step in (runner.recover, found.step):
            try:
                await step()
            except PoolError as error:
                log.warning("recovery delayed", reason=error.reason)
            except Exception:  # a defect must not end the loop: the next round may do better
                log.exception("defect", loop="recovery")
        await asyncio.sleep(interval)


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("batch failed", exc_info=error)
