"""The miners' part of a block is divided once, to the stroop, whatever comes first or again."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from libs.common import failpoints
from libs.common.ids import PoolerId
from libs.kale.fees import Terms, split
from services.harvest.domain.credits import divide, miner_id
from services.harvest.domain.errors import MinersToldError
from tests.support.database import DatabaseAccess
from tests.support.fake_pool import new_address
from tests.support.ledger_world import BLOCK, LedgerWorld, open_ledger

TERMS = Terms(pooler_bps=2000, operator_bps=500, miners_bps=6000)


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[LedgerWorld]:
    """An empty ledger, whose farmers give their pooler a fifth, and of that their miners most."""
    async with open_ledger(database) as opened:
        await opened.agree(TERMS.pooler_bps, TERMS.operator_bps, TERMS.miners_bps)
        yield opened


async def assert_sound(pool: LedgerWorld) -> None:
    """Nothing in the ledger differs."""
    assert (await pool.ledger.check()).differences == []


def pot_of(*rewards: int) -> int:
    """The miners' part of rewards."""
    return sum(split(reward, TERMS).miners for reward in rewards)


async def test_the_part_is_the_poolers_until_it_is_divided_to_the_stroop(pool: LedgerWorld) -> None:
    miners = {new_address(): points for points in (1, 1, 5)}
    for reward in (1_000, 777):
        await pool.harvested(await pool.person(), reward_amount=reward)
    pot, fee = pot_of(1_000, 777), sum(split(one, TERMS).pooler for one in (1_000, 777))
    assert await pool.balances(pool.pooler) == {"pooler:fee": fee, "miner:earned": pot}
    assert await pool.credit(miners, own=2)
    parts, own = divide(pot, miners, 2)
    assert sum(parts.values()) + own == pot
    assert await pool.credited(miners) == parts
    assert await pool.balances(pool.pooler) == {"pooler:fee": fee + own}
    # To be told again changes nothing.
    assert not await pool.credit(miners, own=2)
    assert not await pool.credit(dict(reversed(miners.items())), own=2)
    assert (await pool.divide(), (await pool.journals())["miner_credit"]) == (0, 1)
    await assert_sound(pool)


async def test_what_is_proven_at_the_poolers_own_address_are_its_own_hashes(
    pool: LedgerWorld,
) -> None:
    own = await pool.admin.fetchval(
        "SELECT public_key FROM registry.poolers WHERE id = $1", pool.pooler
    )
    await pool.harvested(await pool.person(), reward_amount=1_777)
    one, two = new_address(), new_address()
    await pool.credit({own: 5, one: 3}, own=2, chunk=(1, 2))
    await pool.credit({two: 1}, own=2, chunk=(2, 2))
    parts, rest = divide(pot_of(1_777), {one: 3, two: 1}, 2 + 5)
    assert await pool.credited([one, two, own]) == {**parts, own: 0}
    fee = split(1_777, TERMS).pooler
    assert await pool.balances(pool.pooler) == {"pooler:fee": fee + rest}
    # Whoever is paid there is the pooler, and no miner.
    assert await pool.admin.fetchval("SELECT count(*) FROM harvest.miners") == 2
    # Where nobody else proved anything, all is the pooler's.
    await pool.harvested(await pool.person(), block=BLOCK + 1, reward_amount=1_000)
    await pool.credit({own: 5}, block=BLOCK + 1)
    both = split(1_000, TERMS)
    assert await pool.balances(pool.pooler) == {
        "pooler:fee": fee + rest + both.pooler + both.miners
    }
    await assert_sound(pool)


async def test_credits_may_come_before_the_harvests_and_harvests_late(pool: LedgerWorld) -> None:
    miners = {new_address(): points for points in (7, 2)}
    await pool.credit(miners)
    assert await pool.credited(miners) == dict.fromkeys(miners, 0)
    rewards = []
    for reward in (501, 1_003, 99):
        rewards.append(reward)
        await pool.harvested(await pool.person(), reward_amount=reward)
        assert await pool.divide() == 1
        assert await pool.credited(miners) == divide(pot_of(*rewards), miners, 0)[0]
    assert (await pool.journals())["miner_credit"] == 3
    await assert_sound(pool)


async def test_what_was_denied_is_taken_back_also_from_who_was_paid(pool: LedgerWorld) -> None:
    miners = {new_address(): points for points in (3, 1)}
    kept, denied = [
        await pool.harvested(await pool.person(), reward_amount=reward) for reward in (400, 8_000)
    ]
    assert kept != denied
    await pool.credit(miners)
    await pool.deny(str(denied))
    assert await pool.divide() == 1
    assert await pool.credited(miners) == divide(pot_of(400), miners, 0)[0]
    # Another block's part is divided, though the account of what is not divided is below zero.
    await pool.deny(str(kept))
    await pool.harvested(await pool.person(), block=BLOCK + 1, reward_amount=100)
    await pool.credit(miners, block=BLOCK + 1)
    assert await pool.divide() == 1
    assert await pool.credited(miners) == divide(pot_of(100), miners, 0)[0]
    assert (await pool.balances(pool.pooler)).get("miner:earned", 0) == 0
    await assert_sound(pool)


async def test_a_block_that_nobody_mined_is_the_poolers(pool: LedgerWorld) -> None:
    await pool.harvested(await pool.person(), reward_amount=1_000)
    await pool.credit({})
    parts = split(1_000, TERMS)
    assert await pool.balances(pool.pooler) == {"pooler:fee": parts.pooler + parts.miners}
    await assert_sound(pool)


async def test_chunks_come_in_any_order_and_are_divided_with_the_last(pool: LedgerWorld) -> None:
    await pool.harvested(await pool.person(), reward_amount=10_000)
    one, two, three = ({new_address(): points} for points in (5, 6, 7))
    assert await pool.credit(two, chunk=(2, 3))
    assert await pool.credit(three, chunk=(3, 3))
    assert not await pool.credit(two, chunk=(2, 3))
    whole = {**one, **two, **three}
    assert set((await pool.credited(whole)).values()) == {0}
    assert await pool.credit(one, chunk=(1, 3))
    assert await pool.credited(whole) == divide(pot_of(10_000), whole, 0)[0]
    await assert_sound(pool)


async def test_what_was_told_cannot_be_told_otherwise(pool: LedgerWorld) -> None:
    await pool.harvested(await pool.person(), reward_amount=10_000)
    first, other = new_address(), new_address()
    await pool.credit({first: 5}, own=1, chunk=(1, 2))
    again: list[Callable[[], Awaitable[bool]]] = [
        lambda: pool.credit({first: 6}, own=1, chunk=(1, 2)),
        lambda: pool.credit({first: 5}, own=2, chunk=(1, 2)),
        lambda: pool.credit({first: 5}, own=1),
        # A miner stands in one chunk.
        lambda: pool.credit({first: 5, other: 3}, own=1, chunk=(2, 2)),
    ]
    for tell in again:
        with pytest.raises(MinersToldError):
            await tell()
    await pool.credit({other: 3}, own=1, chunk=(2, 2))
    with pytest.raises(MinersToldError):
        await pool.credit({new_address(): 3}, own=1, chunk=(3, 2))
    assert await pool.credited([first, other]) == divide(pot_of(10_000), {first: 5, other: 3}, 1)[0]
    await assert_sound(pool)


async def test_poolers_have_their_own_miners_and_blocks(pool: LedgerWorld) -> None:
    address, other = new_address(), await pool.world.pooler()
    await pool.harvested(await pool.person(), reward_amount=1_000)
    stranger = await pool.world.farmer(other)
    theirs = LedgerWorld(world=pool.world, database=pool.database, pooler=other)
    await theirs.harvested(stranger, reward_amount=5_000)
    await pool.credit({address: 1})
    assert await pool.credited([address]) == {address: pot_of(1_000)}
    assert await theirs.credited([address]) == {address: 0}
    await theirs.credit({address: 1})
    assert await theirs.credited([address]) == {address: pot_of(5_000)}
    assert miner_id(PoolerId(other), address) != miner_id(PoolerId(pool.pooler), address)
    await assert_sound(pool)


@pytest.mark.parametrize("seed", range(6))
async def test_the_order_of_things_does_not_matter(pool: LedgerWorld, seed: int) -> None:
    chance = random.Random(seed)
    miners = {new_address(): chance.choice([1, 1, 7, 10**6, 2**62]) for _ in range(9)}
    own = chance.choice([0, 1, 10**9])
    halves = dict(list(miners.items())[:4]), dict(list(miners.items())[4:])
    rewards = [chance.choice([0, 7, 10**9, chance.randint(0, 10**12)]) for _ in range(8)]
    events = {}

    async def harvest(number: int) -> None:
        events[number] = await pool.harvested(await pool.person(), reward_amount=rewards[number])

    async def deny(number: int) -> None:
        if number in events:
            await pool.deny(str(events[number]))

    async def tell(number: int) -> None:
        await pool.credit(halves[number], own=own, chunk=(number + 1, 2))

    happens: list[Callable[[], Awaitable[object]]] = [
        *(lambda n=n: harvest(n) for n in range(8)),
        *(lambda n=n: tell(n) for n in (0, 1, 0, 1)),
        *(pool.divide for _ in range(5)),
    ]
    chance.shuffle(happens)
    denials: list[Callable[[], Awaitable[object]]] = [lambda n=n: deny(n) for n in (1, 5)]  # type: ignore[misc]
    for act in [*happens, *denials, *denials, pool.divide]:
        await act()
    left = [reward for number, reward in enumerate(rewards) if number not in {1, 5}]
    parts, rest = divide(pot_of(*left), miners, own)
    assert await pool.credited(miners) == parts
    fee = sum(split(one, TERMS).pooler for one in left) + rest
    assert await pool.balances(pool.pooler) == ({"pooler:fee": fee} if fee else {})
    await assert_sound(pool)


async def test_two_who_divide_at_once_divide_once(pool: LedgerWorld) -> None:
    miners = {new_address(): points for points in range(1, 40)}
    people = [await pool.person() for _ in range(4)]
    done = await asyncio.gather(
        *(pool.credit(miners) for _ in range(3)),
        *(pool.divide() for _ in range(3)),
        *(pool.harvested(person, reward_amount=10_000) for person in people[:1]),
    )
    assert done.count(True) >= 1
    await asyncio.gather(*(pool.divide() for _ in range(4)))
    assert await pool.credited(miners) == divide(pot_of(10_000), miners, 0)[0]
    await assert_sound(pool)


async def test_a_process_that_dies_in_between_is_made_good(pool: LedgerWorld) -> None:
    miners = {new_address(): 3}
    await pool.credit(miners)
    await pool.harvested(await pool.person(), reward_amount=10_000)
    failpoints.arm("harvest.credits.divided=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            await pool.divide()
    finally:
        failpoints.arm("")
    assert await pool.divide() == 0
    assert await pool.credited(miners) == divide(pot_of(10_000), miners, 0)[0]
