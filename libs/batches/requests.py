"""The way from a request to its completed batch; a repeat of the request joins the same batch."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from libs.batches.model import Batch, BatchRequest, Event
from libs.batches.runner import BatchRunner
from libs.batches.store import BatchTables
from libs.common.db.pool import Session
from libs.common.failpoints import failpoint
from libs.common.ids import BatchId

RequestT = TypeVar("RequestT", bound=BatchRequest)
ItemT = TypeVar("ItemT")
EventT = TypeVar("EventT", bound=Event)

#: Decides the items of a batch, and makes them durable in the transaction that it is given. No
#: other plan of the pooler changes what it reads there.
Plan: TypeAlias = Callable[[Session], Awaitable[BatchId]]
#: Checks a request and does what needs no lock; raises the error that the caller gets.
Prepare: TypeAlias = Callable[[RequestT], Awaitable[Plan]]


async def complete(
    request: RequestT,
    prepare: Prepare[RequestT],
    *,
    store: BatchTables[ItemT, EventT],
    runner: BatchRunner[ItemT],
) -> Batch:
    """Run the request's batch to its end; plan the batch first when there is none yet."""
    batch = await store.batch_by_request(request.pooler_id, request.request_id)
    if batch is None:
        batch_id = await _accept(request, await prepare(request), store, name=runner.name)
    else:
        batch_id = batch.joined_by(request.digest)
    await runner.run(batch_id)
    return await store.batch(batch_id)


async def _accept(
    request: BatchRequest, plan: Plan, store: BatchTables[ItemT, EventT], *, name: str
) -> BatchId:
    """Plan the batch, or join the batch that the same request has made meanwhile."""
    await store.ensure_partition(request.block_index)
    async with store.database.transaction() as session:
        await store.lock_pooler(session, request.pooler_id)
        batch = await store.batch_by_request(request.pooler_id, request.request_id, session)
        if batch is not None:
            return batch.joined_by(request.digest)
        batch_id = await plan(session)
    await failpoint(f"{name}.batch.accepted")
    return batch_id
