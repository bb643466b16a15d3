"""Shares are written many at a time, and acknowledged once they are on the disk."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from libs.common.errors import UnavailableError
from pooler.shares.crediting import Crediting, open_crediting
from pooler.shares.domain.model import Best, Share
from pooler.shares.store.store import Credited, Store


class FakeStore:
    """A database that is as slow as a test says, and may be away."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self.there: set[tuple[int, int, int]] = set()
        self.may_write = asyncio.Event()
        self.error: Exception | None = None

    async def credit(self, shares: Sequence[Share], _: Sequence[Best]) -> Credited:
        """Take shares."""
        await self.may_write.wait()
        if self.error is not None:
            raise self.error
        self.commits.append(len(shares))
        keys = {share.key for share in shares}
        new, known = keys - self.there, keys & self.there
        self.there |= keys
        return Credited(new=new, known=known)


def share(nonce: int) -> Share:
    return Share(block=7, farmer=1, nonce=nonce, worker=1, points=16, zeros=1, at=0)


def crediting_of(store: FakeStore) -> Any:
    return open_crediting(cast("Store", store))


async def test_what_arrives_while_a_commit_runs_goes_into_the_next_one() -> None:
    store = FakeStore()
    async with crediting_of(store) as crediting:
        first = crediting.bring([share(0)], [])
        await asyncio.sleep(0.01)
        others = [crediting.bring([share(number)], []) for number in range(1, 50)]
        await asyncio.sleep(0.01)
        assert not any(one.done() for one in (first, *others))
        store.may_write.set()
        for number, one in enumerate([first, *others]):
            assert share(number).key in (await one).new
    assert store.commits == [1, 49]


async def test_a_commit_has_only_so_many_and_a_request_is_never_torn() -> None:
    store = FakeStore()
    async with crediting_of(store) as crediting:
        batches = [
            crediting.bring([share(1000 * number + n) for n in range(1000)], [])
            for number in range(10)
        ]
        store.may_write.set()
        await asyncio.gather(*batches)
    assert sum(store.commits) == 10_000
    assert all(size % 1000 == 0 and size <= 4000 for size in store.commits)


async def test_a_share_that_is_there_is_told_apart() -> None:
    store = FakeStore()
    store.may_write.set()
    async with crediting_of(store) as crediting:
        assert (await crediting.bring([share(1)], [])).new == {share(1).key}
        again = await crediting.bring([share(1), share(2)], [])
    assert (again.new, again.known) == ({share(2).key}, {share(1).key})


async def test_a_database_that_is_away_fails_those_who_wait_and_nobody_after() -> None:
    store = FakeStore()
    store.may_write.set()
    store.error = UnavailableError("away")
    async with crediting_of(store) as crediting:
        both = [crediting.bring([share(number)], []) for number in range(2)]
        for one in both:
            with pytest.raises(UnavailableError):
                await one
        store.error = None
        assert (await crediting.bring([share(0)], [])).new == {share(0).key}


async def test_all_that_was_brought_is_written_before_it_ends() -> None:
    store = FakeStore()
    async with crediting_of(store) as crediting:
        done = crediting.bring([share(1)], [])
        asyncio.get_running_loop().call_later(0.05, store.may_write.set)
    assert done.done()
    assert store.there == {share(1).key}


async def test_who_goes_away_has_brought_it_all_the_same() -> None:
    store = FakeStore()
    async with crediting_of(store) as crediting:
        waiting = asyncio.create_task(_wait(crediting))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        store.may_write.set()
        await crediting.settled()
    assert store.there == {share(1).key}


async def _wait(crediting: Crediting) -> None:
    await asyncio.shield(crediting.bring([share(1)], []))
