"""The chain's clock as the pooler keeps it."""

from collections.abc import AsyncIterator

import pytest

from client import Block, ChainView, ChainWatch, Head, PoolClient, open_client
from libs.common.errors import FailedPreconditionError
from tests.support.fake_pool import FakePool, open_fake


def head(*, ledger: int, close_time: float, current_block: int = 7) -> Head:
    """A head of the chain."""
    return Head(
        ledger=ledger,
        close_time=close_time,
        current_block=current_block,
        plantable_block=current_block,
        paused=False,
    )


class Heads(PoolClient):
    """Answers with the heads that it was given, one after the other."""

    def __init__(self, *heads: Head) -> None:
        self._heads = list(heads)

    async def block(self, index: int | None = None) -> ChainView:
        """The next head."""
        return ChainView(block=None, head=self._heads.pop(0))


async def test_the_clock_goes_on_between_ledgers() -> None:
    now = 50.0
    watch = ChainWatch(Heads(head(ledger=1, close_time=1000)), clock=lambda: now)
    await watch.refresh()
    now = 53.5
    assert watch.now() == 1003.5


async def test_the_same_ledger_seen_again_does_not_set_the_clock_back() -> None:
    now = 50.0
    same = head(ledger=1, close_time=1000)
    watch = ChainWatch(Heads(same, same), clock=lambda: now)
    await watch.refresh()
    now = 54.0
    await watch.refresh()
    assert watch.now() == 1004


async def test_an_answer_that_comes_late_is_not_taken() -> None:
    newer, older = head(ledger=9, close_time=1040, current_block=8), head(ledger=8, close_time=1035)
    watch = ChainWatch(Heads(newer, older), clock=lambda: 0.0)
    await watch.refresh()
    assert await watch.refresh() == newer


def test_the_head_must_be_looked_at_first() -> None:
    with pytest.raises(FailedPreconditionError):
        ChainWatch(Heads()).now()


def test_a_share_of_a_block_is_a_moment() -> None:
    block = Block(index=1, opened_at=100, closes_at=400, entropy=bytes(32), max_zeros=0)
    assert [block.moment(share) for share in (0, 0.8, 1)] == [100, 340, 400]


@pytest.fixture
async def client() -> AsyncIterator[PoolClient]:
    """A client of a real server."""
    async with open_fake(FakePool()) as server, open_client(server.targets) as opened:
        yield opened


async def test_a_wait_ends_with_the_time_alone(client: PoolClient) -> None:
    """Nobody plants: no message tells that the next block can be opened, the looks find it out."""
    watch = ChainWatch(client)
    reached = await watch.wait_until(lambda seen: seen.plantable_block == 1)
    assert reached.current_block == 0
