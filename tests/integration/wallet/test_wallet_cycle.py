"""The whole way: farmers get wallets, plant, work and harvest on a localnet."""

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2

from tests.support.wallet_world import WalletWorld

SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
FAILED = wallet_pb2.OPERATION_STATE_FAILED
KALE = 10**7


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


@pytest.mark.e2e
async def test_one_farmers_failure_fails_nobody_else(world: WalletWorld) -> None:
    farmers = await world.create_farmers(3)
    rich, poor, idle = farmers
    await world.wait_until_ready(list(farmers))
    await world.pay_kale([farmers[rich]], 10 * KALE)
    block = await world.next_block()

    plants = await world.plant("mixed plants", block, {rich: 5 * KALE, poor: 5 * KALE})
    results = {item.farmer_id: (item.state, item.reason) for item in plants}
    assert results[rich] == (SUCCEEDED, common_pb2.FAILURE_REASON_UNSPECIFIED)
    assert results[poor] == (FAILED, common_pb2.FAILURE_REASON_INSUFFICIENT_BALANCE)

    works = await world.work("mixed works", block, {rich: 3, idle: 3}, farmers)
    results = {item.farmer_id: (item.state, item.reason) for item in works}
    assert results[rich][0] == SUCCEEDED
    assert results[idle] == (FAILED, common_pb2.FAILURE_REASON_NOT_PLANTED)
    # The same nonce again under another name is the same work.
    (again,) = await world.work("mixed works again", block, {rich: 3}, farmers)
    assert again.operation_id == next(i.operation_id for i in works if i.farmer_id == rich)

    await world.wait_for_plantable(block + 1)
    await world.plant("mixed opener", block + 1, {poor: 0})
    harvests = await world.harvest("mixed harvests", block, [rich, idle])
    results = {item.farmer_id: (item.state, item.reason) for item in harvests}
    assert results[rich][0] == SUCCEEDED
    assert results[idle] == (FAILED, common_pb2.FAILURE_REASON_NOT_PLANTED)
    (late,) = await world.harvest("mixed harvest of the idle", block, [idle])
    assert late.operation_id not in {item.operation_id for item in harvests}


@pytest.mark.e2e
async def test_a_better_work_improves_and_a_worse_one_is_told_so(world: WalletWorld) -> None:
    farmers = await world.create_farmers(1)
    (farmer,) = farmers
    await world.wait_until_ready([farmer])
    block = await world.next_block()
    await world.plant("improving plant", block, {farmer: 0})
    good, bad = await world.nonces_by_zeros(block, farmers[farmer], [2, 0])
    (better,) = await world.work("good work", block, {farmer: good}, farmers)
    (worse,) = await world.work("bad work", block, {farmer: bad}, farmers)
    assert better.state == SUCCEEDED
    assert (worse.state, worse.reason) == (FAILED, common_pb2.FAILURE_REASON_ZEROS_TOO_LOW)
    assert (worse.attempts, worse.fee_charged) == (0, 0)  # found out without a transaction


@pytest.mark.e2e
async def test_a_plant_for_the_next_block_waits_for_it(world: WalletWorld) -> None:
    farmers = await world.create_farmers(1)
    (farmer,) = farmers
    await world.wait_until_ready([farmer])
    block = await world.next_block()
    await world.plant("waiting opener", block, {farmer: 0})
    (early,) = await world.plant("waiting plant", block + 1, {farmer: 0})
    assert (early.state, early.attempts) == (SUCCEEDED, 1)
    assert (await world.block(block + 1)).block.opened_ledger <= early.ledger
