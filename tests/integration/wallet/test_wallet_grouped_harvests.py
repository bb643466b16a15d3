"""Several closed blocks of the same farmers, harvested together in one transaction."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from kalepool.wallet.v1 import wallet_pb2

from tests.support.database import DatabaseFactory
from tests.support.wallet_world import WalletWorld, open_wallet_world

KALE = 10**7
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
FAILED = wallet_pb2.OPERATION_STATE_FAILED
#: Seconds of a block.
BLOCK = 8
#: Stroops that a farmer stakes in every block.
STAKE = 2 * KALE


@pytest.fixture
async def packing(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    """A wallet that can carry operations together."""
    async with (
        database_factory.create() as database,
        open_wallet_world(
            database, tmp_path_factory.mktemp("grouped"), block_seconds=BLOCK
        ) as running,
    ):
        await running.use_multicall(channels=4)
        yield running


async def farm(world: WalletWorld, farmers: dict[str, str], idle: str) -> int:
    """Plant all and work all but one in a block of their own; return the block."""
    block = await world.next_block()
    await world.plant(f"plant {block}", block, dict.fromkeys(farmers, STAKE))
    busy = dict.fromkeys((name for name in farmers if name != idle), 3)
    works = await world.work(f"work {block}", block, busy, farmers)
    assert {item.state for item in works} == {SUCCEEDED}
    return block


@pytest.mark.e2e
async def test_several_blocks_of_a_farmer_are_harvested_in_one_transaction_that_costs_less(
    packing: WalletWorld,
) -> None:
    farmers = await packing.create_farmers(3)
    one, other, idle = farmers
    await packing.wait_until_ready(list(farmers))
    await packing.pay_kale(list(farmers.values()), 10 * KALE)
    first, second, third, fourth = [await farm(packing, farmers, idle) for _ in range(4)]
    await packing.wait_for_plantable(fourth + 1)
    await packing.plant("opener", fourth + 1, {idle: 0})
    (alone,) = await packing.harvest("alone", second, [one])
    assert alone.state == SUCCEEDED
    # In any order, and with one that never worked, of which nobody else suffers.
    wanted = {fourth: [one], first: [one, other], third: [one, other, idle]}
    batches = await asyncio.gather(
        *(packing.harvest(f"harvest {block}", block, names) for block, names in wanted.items())
    )
    done = [item for batch in batches for item in batch if item.state == SUCCEEDED]
    lost = [item for batch in batches for item in batch if item.state == FAILED]
    assert sorted((item.farmer_id, item.block_index) for item in done) == sorted(
        (name, block) for block, names in wanted.items() for name in names if name != idle
    )
    assert [(item.farmer_id, item.block_index) for item in lost] == [(idle, third)]
    assert len({item.transaction_hash for item in done}) == 1
    assert sum(item.fee_charged for item in done) < 4 * alone.fee_charged
    # All blocks of the one are paid; two of the other still hold their stakes.
    balances = await packing.balances(list(farmers))
    for name, held in ((one, 0), (other, 2)):
        rewards = sum(item.amount for item in (alone, *done) if item.farmer_id == name)
        assert balances[name].kale_stroops == 10 * KALE + rewards - held * STAKE
