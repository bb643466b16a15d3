"""From a request to its completed batch, which a repeat of the request joins."""

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

#: Decides who does what, and makes it durable in the transaction that it is given: what it reads
#: there no other plan of the pooler changes.
Plan: TypeAlias = Callable[[Session], Awaitable[BatchId]]
#: Checks a request and does what needs no lock; raises what the caller is to be told.
Prepare: TypeAlias = Callable[[RequestT], Awaitable[Plan]]


async def complete(
    request: RequestT,
    prepare: Prepare[RequestT],
    *,
    store: BatchTables[ItemT, EventT],
    runner: BatchRunner[ItemT],
) -> Batch:
    """Runs the request's batch to its end; one that is not there yet is planned first."""
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
    """Plans the batch, or joins the one that the same request has made meanwhile."""
    await store.ensure_partition(request.block_index)
    async with store.database.transaction() as session:
        await store.lock_pooler(session, request.pooler_id)
        batch = await store.batch_by_request(request.pooler_id, request.request_id, session)
        if batch is not None:
            return batch.joined_by(request.digest)
        batch_id = await plan(session)
    await failpoint(f"{name}.batch.accepted")
    return batch_id
