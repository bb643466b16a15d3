"""The library's client: repeats of the same request, and a stream of blocks that goes on."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest
from kalepool.wallet.v1 import wallet_pb2

from client import (
    ChainView,
    FailedPreconditionError,
    Limits,
    OutOfRangeError,
    PoolClient,
    PoolError,
    Submission,
    UnavailableError,
    enrol,
    open_client,
    open_watch,
)
from client.enrol import Enrolled, Enrolment
from client.messages import submission
from libs.common.ids import FarmerId, new_id
from tests.support.fake_pool import FakePool, FakeServer, open_fake

Views = list[ChainView]


@pytest.fixture
async def pool() -> FakePool:
    """A pool with a chain that has just begun."""
    return FakePool()


@pytest.fixture
async def server(pool: FakePool) -> AsyncIterator[FakeServer]:
    """The pool, served."""
    async with open_fake(pool) as running:
        yield running


async def watched(client: PoolClient, enough: Callable[[Views], bool], **options: int) -> Views:
    """The views of a watch until there are enough."""
    views: Views = []
    async with aclosing(client.watch_blocks(**options)) as stream:
        async for view in stream:
            views.append(view)
            if enough(views):
                break
    return views


class Blocks:
    """A WatchBlocks that tells blocks of the test's choice, and notes what it was asked."""

    def __init__(self, *answers: list[int] | PoolError) -> None:
        self._answers = list(answers)
        #: after_index of each stream; None where it was absent.
        self.asked: list[int | None] = []

    async def __call__(
        self, request: wallet_pb2.WatchBlocksRequest
    ) -> AsyncIterator[wallet_pb2.WatchBlocksResponse]:
        """One stream."""
        self.asked.append(request.after_index if request.HasField("after_index") else None)
        answer = self._answers.pop(0)
        if isinstance(answer, PoolError):
            raise answer
        for index in answer:
            yield wallet_pb2.WatchBlocksResponse(
                block=wallet_pb2.Block(index=index),
                head=wallet_pb2.ChainHead(current_block=index),
            )
        raise UnavailableError("restarting")


@pytest.fixture
async def blocks(
    monkeypatch: pytest.MonkeyPatch, server: FakeServer
) -> AsyncIterator[Callable[..., tuple[PoolClient, Blocks]]]:
    """Makes a client whose streams tell what the test says."""
    async with open_client(server.targets) as client:

        def make(*answers: list[int] | PoolError) -> tuple[PoolClient, Blocks]:
            told = Blocks(*answers)
            connections = client._connections
            monkeypatch.setattr(connections, "stream", lambda _method, request: told(request))
            return client, told

        yield make


async def test_a_stream_that_breaks_goes_on_after_the_last_block(
    blocks: Callable[..., tuple[PoolClient, Blocks]],
) -> None:
    client, told = blocks([5, 6], UnavailableError("away"), [7, 8])
    views = await watched(client, lambda seen: len(seen) == 4)
    assert [view.block.index for view in views if view.block] == [5, 6, 7, 8]
    assert told.asked == [None, 6, 6]


async def test_a_stream_begins_where_its_caller_says(
    blocks: Callable[..., tuple[PoolClient, Blocks]],
) -> None:
    client, told = blocks(UnavailableError("away"), [4])
    await watched(client, lambda seen: len(seen) == 1, after_index=3)
    assert told.asked == [3, 3]


@pytest.mark.parametrize(
    "error",
    [OutOfRangeError("gone", reason="HISTORY_GONE"), FailedPreconditionError("no")],
)
async def test_a_stream_that_cannot_go_on_says_so(
    blocks: Callable[..., tuple[PoolClient, Blocks]], error: PoolError
) -> None:
    client, _ = blocks([5], error)
    with pytest.raises(type(error)):
        await watched(client, lambda _: False)


async def test_a_stream_that_falls_silent_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, server: FakeServer
) -> None:
    monkeypatch.setattr("client.pool._SILENCE", 0.0)
    told: list[str] = []

    def notice(method: str, error: PoolError, _delay: float) -> None:
        told.append(f"{method}: {error.message}")
        monkeypatch.setattr("client.pool._SILENCE", 10.0)

    async with open_client(server.targets, notice=notice) as client:
        await watched(client, lambda seen: len(seen) == 1)
    assert told == ["WatchBlocks: the stream of blocks fell silent"]


async def test_a_real_stream_outlives_a_restart(pool: FakePool, server: FakeServer) -> None:
    async with open_client(server.targets) as client:
        seen = await watched(client, lambda views: len(views) == 2)
        await server.stop()
        await server.start()
        # The fake breaks each stream after seven messages.
        more = await watched(client, lambda views: len(views) == 16)
    ledgers = [view.head.ledger for view in (*seen, *more)]
    assert ledgers == sorted(ledgers)


async def test_the_same_request_is_repeated_and_acts_once(
    pool: FakePool, server: FakeServer
) -> None:
    pool.lose["Plant"] = 2
    told: list[str] = []
    async with open_client(
        server.targets, notice=lambda method, _error, _delay: told.append(method)
    ) as client:
        pooler = await enrol(client, Enrolment(public_key="G" + "A" * 55, farmers=2))
        planted = await client.plant(pooler, pool.chain.plantable)
    assert (planted.succeeded, len(pool.plantings)) == (2, 2)
    assert told == ["Plant", "Plant"]


async def test_patience_is_the_callers(pool: FakePool, server: FakeServer) -> None:
    pool.lose["ListPoolers"] = 1
    async with open_client(server.targets, limits=Limits(patience_seconds=0)) as client:
        with pytest.raises(UnavailableError):
            _ = [pooler async for pooler in client.poolers()]


async def test_an_enrolment_tells_how_far_it_is(pool: FakePool, server: FakeServer) -> None:
    told: list[Enrolled] = []
    async with open_client(server.targets) as client:
        wanted = Enrolment(public_key="G" + "A" * 55, farmers=3)
        pooler = await enrol(client, wanted, told.append)
    assert told == [Enrolled(pooler_id=pooler, farmers=3, funded=3)]


async def test_a_watch_knows_the_head_at_once_and_follows_it(server: FakeServer) -> None:
    async with open_client(server.targets) as client, open_watch(client) as watch:
        first = watch.head.ledger
        await watch.next_ledger()
        assert watch.head.ledger > first


def test_a_nonce_without_a_time_is_sent_without_one() -> None:
    sent = submission(Submission(farmer_id=FarmerId(new_id()), nonce=2**64 - 1))
    assert (sent.nonce, sent.timestamp) == (2**64 - 1, 0)


async def test_works_are_listed_with_their_zeros(pool: FakePool, server: FakeServer) -> None:
    async with open_client(server.targets) as client, open_watch(client) as watch:
        pooler = await enrol(client, Enrolment(public_key="G" + "A" * 55, farmers=1))
        planted = await client.plant(pooler, pool.chain.plantable)
        (farmer,) = planted.outcomes
        await watch.next_ledger()
        found = Submission(farmer_id=farmer.farmer_id, nonce=7)
        await client.submit_work(pooler, planted.block_index, [found])
        works = [one async for one in client.worked(pooler, planted.block_index)]
        before = [one async for one in client.worked(pooler, planted.block_index + 1)]
    zeros = pool.chain.worked[planted.block_index, farmer.address]
    assert [(work.farmer_id, work.zeros) for work in works] == [(farmer.farmer_id, zeros)]
    assert before == []
