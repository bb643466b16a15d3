"""The runner of payouts through wallet to their end, whoever goes away or crashes meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Protocol
from uuid import UUID

from libs.common.errors import ErrorCode, PoolError
from libs.common.failpoints import failpoint
from libs.common.grpc.deadlines import set_deadline
from libs.common.ids import new_id
from libs.common.log import get_logger
from libs.common.singleflight import SingleFlight
from services.harvest.domain.payout_runs import Item, Settled
from services.harvest.store.payouts import PayoutStore

log = get_logger(__name__)

#: Codes with which wallet refuses a chunk as a whole that it was never asked for before.
_FINAL = frozenset(
    {
        ErrorCode.FAILED_PRECONDITION,
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.NOT_FOUND,
        ErrorCode.PERMISSION_DENIED,
    }
)
#: Seconds of one call of wallet, and of the lease under which it is made: no call outlives it, so
#: that what a process asks for that is gone cannot come after what another one asks for.
CALL, LEASE = 10.0, 15.0
#: Chunks of a run that are with wallet at a time.
_PARALLEL = 8
#: Seconds between two tries, doubled up to the last.
_FIRST_DELAY, _LAST_DELAY = 0.2, 5.0


class Payer(Protocol):
    """Has wallet pay the items of a chunk."""

    def pay(
        self, request_id: str, items: Sequence[Item], *, timeout: float
    ) -> AsyncIterator[Sequence[Settled]]:
        """Yield what became of them as it is settled."""
        ...


class PayoutRunner:
    """The runner of one process; one process at a time asks wallet for a run.

    Items are sent under the name of their run and chunk, whoever sends them and however often, and
    only those that are open: wallet pays each once. What it has settled is booked, and recorded
    then.
    """

    def __init__(
        self,
        store: PayoutStore,
        payer: Payer,
        *,
        call: float = CALL,
        lease: float = LEASE,
        parallel: int = _PARALLEL,
    ) -> None:
        """Take the seconds of one call of wallet, and of the lease under which it is made.

        So many chunks of a run are with wallet at a time.
        """
        if call >= lease:
            raise ValueError("a call would outlive the lease under which it is made")
        self._store = store
        self._payer = payer
        self._call = call
        self._lease = lease
        self._parallel = parallel
        #: Names this process.
        self._process = new_id()
        self._flight: SingleFlight[None] = SingleFlight()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, run_id: UUID) -> None:
        """Return when all items are settled; leaving early does not stop the run."""
        await self._flight.run(run_id, lambda: self._complete(run_id))

    def start(self, run_id: UUID) -> None:
        """Have a run go on, whoever waits for it."""
        if run_id not in self._flight.running():
            task = asyncio.create_task(self.run(run_id))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def recover(self) -> None:
        """Start every open run that does not run in this process."""
        for run_id in await self._store.open_runs():
            self.start(run_id)

    async def aclose(self) -> None:
        """Stop what runs; open runs go on at the next start."""
        await self._flight.aclose()

    async def _complete(self, run_id: UUID) -> None:
        set_deadline(None)  # the run's time is not its caller's
        await failpoint("harvest.payout.planned")
        delay = _FIRST_DELAY
        while True:
            try:
                if await self._holds(run_id):
                    if await self._pay(run_id):
                        log.info("payouts settled", run=str(run_id))
                        return
                elif await self._store.is_complete(run_id):
                    # Nobody holds it: another process, or an earlier call, was here first.
                    return
            except PoolError as error:
                log.warning("payouts delayed", run=str(run_id), reason=error.reason)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LAST_DELAY)

    async def _holds(self, run_id: UUID) -> bool:
        return await self._store.lease(run_id, self._process, seconds=self._lease)

    async def _pay(self, run_id: UUID) -> bool:
        """Ask wallet for all that is open; tell whether nothing is any more."""
        items = await self._store.open_items(run_id)
        limit = asyncio.Semaphore(self._parallel)
        chunks = [list(found) for _, found in groupby(items, lambda item: item.chunk)]
        results = await asyncio.gather(
            *(self._send(run_id, chunk, limit) for chunk in chunks), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        if not await self._store.complete(run_id):
            return False
        await failpoint("harvest.payout.completed")
        return True

    async def _send(self, run_id: UUID, items: Sequence[Item], limit: asyncio.Semaphore) -> None:
        """Send one chunk, and record what becomes of it as it is settled."""
        async with limit:
            if not await self._holds(run_id):
                return
            if await self._store.is_off():
                # What wallet has taken up goes on, and is heard of.
                items = [item for item in items if item.was_asked]
            if not items:
                return
            is_first = not any(item.was_asked for item in items)
            await self._store.note_asked(run_id, items)
            await failpoint("harvest.payout.asked")
            try:
                name = request_id(run_id, items[0].chunk)
                async for settled in self._payer.pay(name, items, timeout=self._call):
                    await failpoint("harvest.payout.told")
                    await self._store.settle(run_id, settled)
                    await failpoint("harvest.payout.settled")
            except PoolError as error:
                # Whoever was asked before may have taken it up then, whatever it says now.
                if error.code not in _FINAL or not is_first:
                    raise
                await self._store.settle(run_id, [_refused(item, error) for item in items])

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("payouts failed", exc_info=error)


def request_id(run_id: UUID, chunk: int) -> str:
    """Return the name of a chunk's request to wallet."""
    return f"payout:{run_id}:{chunk}"


def _refused(item: Item, error: PoolError) -> Settled:
    return Settled(
        item_id=item.item_id, state="refused", reason=error.reason, message=error.message
    )
