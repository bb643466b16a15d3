"""From a request to its batch: what is done in which order, and which batch a repeat joins."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from libs.batches.model import Batch, BatchRequest, RequestIdReusedError
from libs.batches.requests import Plan, complete
from libs.common import failpoints
from libs.common.failpoints import FailpointError
from libs.common.ids import BatchId, PoolerId, new_id

REQUEST = BatchRequest(
    pooler_id=PoolerId(new_id()), block_index=41, request_id="mine", digest=b"mine"
)
#: What makes a new batch, before anything of it is sent.
ACCEPTED = ["look", "prepare", "partition 41", "begin", "lock", "look again", "plan", "commit"]
SESSION = object()


def batch(digest: bytes = REQUEST.digest) -> Batch:
    """The batch of a request."""
    return Batch(
        batch_id=BatchId(new_id()),
        request_id=REQUEST.request_id,
        pooler_id=REQUEST.pooler_id,
        block_index=REQUEST.block_index,
        digest=digest,
        created_at=datetime.now(UTC),
        completed_at=None,
    )


class Pool:
    """A store, a database and a runner that note what is done."""

    name = "test"

    def __init__(self, before: Batch | None = None, meanwhile: Batch | None = None) -> None:
        #: The batch that is there from the beginning, and the one that is there once it is locked.
        self.before, self.meanwhile = before, meanwhile
        self.planned = batch()
        self.done: list[str] = []
        self.ran: list[BatchId] = []
        self.database = self

    async def complete(self) -> Batch:
        """Complete the request."""
        own = cast("Any", self)
        return await complete(REQUEST, self._prepare, store=own, runner=own)

    async def _prepare(self, request: BatchRequest) -> Plan:
        assert request is REQUEST
        self.done.append("prepare")
        return cast("Plan", self._plan)

    async def _plan(self, session: object) -> BatchId:
        assert session is SESSION
        self.done.append("plan")
        return self.planned.batch_id

    async def batch_by_request(
        self, pooler_id: PoolerId, request_id: str, session: object = None
    ) -> Batch | None:
        """The batch of the request, outside and inside of the transaction."""
        assert (pooler_id, request_id) == (REQUEST.pooler_id, REQUEST.request_id)
        assert session in (None, SESSION)
        self.done.append("look" if session is None else "look again")
        return self.before if session is None else self.meanwhile

    async def ensure_partition(self, block_index: int) -> None:
        """Note the block."""
        self.done.append(f"partition {block_index}")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[object]:
        """Commit unless something failed."""
        self.done.append("begin")
        yield SESSION
        self.done.append("commit")

    async def lock_pooler(self, session: object, pooler_id: PoolerId) -> None:
        """Lock in the transaction."""
        assert (session, pooler_id) == (SESSION, REQUEST.pooler_id)
        self.done.append("lock")

    async def run(self, batch_id: BatchId) -> None:
        """Note which batch runs."""
        self.done.append("run")
        self.ran.append(batch_id)

    async def batch(self, batch_id: BatchId) -> Batch:
        """The batch that has run."""
        assert self.ran == [batch_id]
        return next(
            one
            for one in (self.before, self.meanwhile, self.planned)
            if one is not None and one.batch_id == batch_id
        )


async def test_a_new_request_is_planned_alone_and_then_run() -> None:
    pool = Pool()
    assert await pool.complete() == pool.planned
    assert pool.done == [*ACCEPTED, "run"]


async def test_a_repeat_joins_the_batch_without_a_plan() -> None:
    pool = Pool(before=batch())
    assert await pool.complete() == pool.before
    assert pool.done == ["look", "run"]


async def test_a_repeat_that_waited_for_the_first_call_joins_its_batch() -> None:
    pool = Pool(meanwhile=batch())
    assert await pool.complete() == pool.meanwhile
    assert pool.done == [*ACCEPTED[:-2], "commit", "run"]


@pytest.mark.parametrize("place", ["before", "meanwhile"])
async def test_another_request_with_the_same_id_is_refused(place: str) -> None:
    pool = Pool(**{place: batch(b"other")})
    with pytest.raises(RequestIdReusedError, match="'mine'") as caught:
        await pool.complete()
    assert caught.value.reason == "REQUEST_ID_REUSED"
    assert not {"plan", "commit", "run"}.intersection(pool.done)


async def test_a_process_may_end_once_the_plan_is_durable() -> None:
    pool = Pool()
    failpoints.arm("test.batch.accepted=raise")
    try:
        with pytest.raises(FailpointError):
            await pool.complete()
    finally:
        failpoints.arm("")
    assert pool.done == ACCEPTED
