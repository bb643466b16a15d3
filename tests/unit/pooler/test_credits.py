"""The pool is told who mined a block until it has taken it, whatever fails, and nothing twice."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from client import AlreadyExistsError, NotFoundError, PoolClient, PoolerId, UnavailableError
from client.pool import open_client
from libs.common import failpoints
from libs.common.errors import PoolError
from libs.common.ids import new_id
from pooler.credits import PoolPayer
from pooler.shares.dividing import Dividing
from pooler.shares.domain.model import BlockState, MinerId, NewMiner, Part
from pooler.shares.domain.terms import Terms
from pooler.shares.store.opening import open_store
from pooler.shares.store.store import Store
from tests.support.fake_pool import FakePool, new_address, open_fake

POOLER = PoolerId(UUID(int=5))
#: Blocks that are divided, and the pooler's own hashes in each.
FIRST, SECOND, OWN = 7, 8, 9


@dataclass(frozen=True, kw_only=True)
class World:
    """Blocks that are divided, and a pool that is to take them."""

    store: Store
    pool: FakePool
    client: PoolClient
    #: Addresses of the miners, and the points of each in every block; the last two are one address.
    proven: Sequence[tuple[str, int]]

    def payer(self, chunk: int = 10) -> PoolPayer:
        """Return who tells the pool, so many miners at a time."""
        return PoolPayer(self.client, POOLER, chunk=chunk)

    async def hand_on(self, chunk: int = 10) -> int:
        """Hand on what is divided."""
        return await Dividing(self.store).hand_on(self.payer(chunk))

    async def states(self) -> list[BlockState]:
        """Return how far both blocks are."""
        rows = [await self.store.block(index) for index in (FIRST, SECOND)]
        return [row.state for row in rows if row is not None]

    def told(self, block: int) -> dict[str, int]:
        """Return what the pool was told of a block."""
        return {
            one.address: one.points
            for (index, _), request in sorted(self.pool.credited.items())
            if index == block
            for one in request.miners
        }


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two blocks that are divided among four miners."""
    pool, address = FakePool(), new_address()
    proven = [(new_address(), 5), (new_address(), 7), (address, 2), (address, 1)]
    async with (
        open_store(str(tmp_path / "shares.db")) as store,
        open_fake(pool) as server,
        open_client(server.targets) as client,
    ):
        numbers = []
        for place, (paid_at, _) in enumerate(proven):
            new = NewMiner(
                miner_id=MinerId(new_id()),
                credential_hash=bytes([place]),
                address=paid_at,
                name="",
                terms="",
                joined_at=1,
            )
            miner = await store.add_miner(new, most=9)
            assert miner is not None
            numbers.append(miner.number)
        for block in (FIRST, SECOND):
            terms = Terms(miners_bps=1000, own_hashes_take_part=block == FIRST, note="")
            await store.open_block(block, bytes(32), at=1, terms=terms)
            await store.note_own_hashes(block, OWN)
        await store.close_blocks(SECOND + 1)
        for block in (FIRST, SECOND):
            parts = [
                Part(block=block, miner=number, points=points, amount=1)
                for number, (_, points) in zip(numbers, proven, strict=True)
            ]
            assert await store.divide(block, rewards=100, pot=10, parts=parts)
        yield World(store=store, pool=pool, client=client, proven=proven)


async def test_the_pool_is_told_each_address_once(world: World) -> None:
    assert await world.hand_on() == 2
    one, two, both, _ = world.proven
    for block in (FIRST, SECOND):
        assert world.told(block) == {one[0]: 5, two[0]: 7, both[0]: 3}
    own = {block: request.own_points for (block, _), request in world.pool.credited.items()}
    assert own == {FIRST: OWN, SECOND: 0}
    assert await world.states() == [BlockState.HANDED_ON] * 2
    assert await world.hand_on() == 0


async def test_many_miners_are_told_in_chunks(world: World) -> None:
    assert await world.hand_on(2) == 2
    chunks = [request for (block, _), request in world.pool.credited.items() if block == FIRST]
    assert [(one.chunk, one.chunks, len(one.miners)) for one in chunks] == [(1, 2, 2), (2, 2, 1)]
    assert len(world.told(FIRST)) == 3


async def test_a_block_that_nobody_mined_is_told_as_one(world: World) -> None:
    await world.store.open_block(
        9, bytes(32), at=1, terms=Terms(miners_bps=1000, own_hashes_take_part=True, note="")
    )
    await world.store.close_blocks(10)
    await world.store.divide(9, rewards=100, pot=0, parts=[])
    assert await world.hand_on() == 3
    assert list(world.pool.credited[9, 1].miners) == []


@pytest.mark.parametrize(
    "error",
    [UnavailableError("away"), NotFoundError("none", reason="BLOCK_NOT_FARMED")],
    ids=["away", "not farmed, and earned"],
)
async def test_what_is_not_taken_is_told_again(world: World, error: PoolError) -> None:
    world.pool.refuse_credits = error
    assert await world.hand_on() == 0
    assert await world.states() == [BlockState.FINAL] * 2
    world.pool.refuse_credits = None
    assert await world.hand_on() == 2


async def test_what_was_told_otherwise_before_stands(world: World) -> None:
    world.pool.refuse_credits = AlreadyExistsError("told", reason="MINERS_TOLD")
    assert await world.hand_on() == 2


async def test_an_answer_that_is_lost_is_told_again(world: World) -> None:
    world.pool.lose["CreditMiners"] = 1
    assert await world.hand_on() == 0
    assert await world.hand_on() == 2


async def test_a_pooler_that_dies_once_it_has_told_tells_it_again(world: World) -> None:
    failpoints.arm("shares.parts.taken=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            await world.hand_on()
    finally:
        failpoints.arm("")
    assert await world.states() == [BlockState.FINAL] * 2
    assert await world.hand_on() == 2
