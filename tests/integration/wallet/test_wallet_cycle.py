"""The whole way: farmers get wallets, plant, work and harvest on a localnet."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kalepool.wallet.v1 import wallet_pb2

from tests.support.database import DatabaseFactory
from tests.support.wallet_world import WalletWorld, open_wallet_world

SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
KALE = 10**7


@pytest.fixture(scope="module")
async def world(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    """One wallet on one localnet for all tests of this file."""
    logs: Path = tmp_path_factory.mktemp("wallet")
    async with (
        database_factory.create() as database,
        open_wallet_world(database, logs) as running,
    ):
        yield running


@pytest.mark.e2e
async def test_five_farmers_through_one_block(world: WalletWorld) -> None:
    farmers = await world.create_farmers(5)
    ids = list(farmers)
    await world.wait_until_ready(ids)
    await world.pay_kale(list(farmers.values()), 100 * KALE)
    before = await world.balances(ids)
    assert {item.kale_stroops for item in before.values()} == {100 * KALE}

    block = await world.plantable()
    stakes = {farmer: number * KALE for number, farmer in enumerate(ids)}
    plants = await world.plant("plant-1", block, stakes)
    assert {item.farmer_id: item.amount for item in plants} == stakes
    assert {item.state for item in plants} == {SUCCEEDED}
    assert all(item.transaction_hash and item.ledger and item.fee_charged for item in plants)
    again = await world.plant("plant-1", block, stakes)
    assert sorted(map(str, again)) == sorted(map(str, plants))

    works = await world.work("work-1", block, dict.fromkeys(ids, 7), farmers)
    assert {item.state for item in works} == {SUCCEEDED}
    assert all(item.gap >= 1 for item in works)

    await world.wait_for_plantable(block + 1)
    await world.plant("plant-2", block + 1, {ids[0]: 0})
    harvests = await world.harvest("harvest-1", block, ids)
    assert {item.state for item in harvests} == {SUCCEEDED}
    assert all(item.amount > 0 for item in harvests)
    after = await world.balances(ids)
    for item in harvests:
        assert after[item.farmer_id].kale_stroops == 100 * KALE + item.amount
        assert after[item.farmer_id].xlm_stroops == 0
    await asyncio.sleep(0)
