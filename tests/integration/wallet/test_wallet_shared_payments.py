"""Payments that go together in one transaction: one that fails, or cannot be paid, among them.

A single payer carries all of them, and a pause lets all wait before any is taken up.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2
from stellar_sdk.soroban_server_async import SorobanServerAsync

from tests.support.database import DatabaseFactory, connect
from tests.support.payers import KALE, Outside, Payer, lie, payer
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world

SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
FAILED = wallet_pb2.OPERATION_STATE_FAILED
#: Farmer, request, stroops.
Wish = tuple[Payer, str, int]


@pytest.fixture(scope="module")
async def one_payer(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    """A wallet with a single payer account."""
    async with (
        database_factory.create() as database,
        open_wallet_world(database, tmp_path_factory.mktemp("one"), PAYER_ACCOUNTS="1") as running,
    ):
        yield running


@pytest.fixture
async def outside(one_payer: WalletWorld) -> AsyncIterator[Outside]:
    """Accounts that are not the pool's."""
    async with SorobanServerAsync(one_payer.rpc_url) as rpc:
        yield Outside(one_payer, rpc)


async def together(world: WalletWorld, wishes: Sequence[Wish]) -> list[withdrawal_pb2.Withdrawal]:
    """Ask for all of these before the first of them is taken up; return their ends."""
    async with connect(world.database.admin_dsn) as admin:
        before = await admin.fetchval("SELECT count(*) FROM wallet.withdrawals")
        async with world.paused():
            asked = asyncio.gather(*(one.withdraw(name, amount) for one, name, amount in wishes))

            async def all_wait() -> bool:
                found = await admin.fetchval("SELECT count(*) FROM wallet.withdrawals")
                return bool(found == before + len(wishes))

            await eventually(all_wait, "not every withdrawal is recorded", world.wallet)
        return await asked


async def test_one_that_cannot_be_paid_does_not_hold_up_the_others(
    one_payer: WalletWorld, outside: Outside
) -> None:
    sound = await payer(one_payer, await outside.account())
    poor = await payer(one_payer, await outside.account(), kale=3 * KALE)
    # Each of the two fits the balance that is read, both together do not.
    wishes = [(sound, "sound", KALE), (poor, "one", 2 * KALE), (poor, "two", 2 * KALE)]
    done = [item.operation for item in await together(one_payer, wishes)]
    first, *pair = done
    assert [first.state, *sorted(item.state for item in pair)] == [SUCCEEDED, SUCCEEDED, FAILED]
    (paid,) = [item for item in pair if item.state == SUCCEEDED]
    (refused,) = [item for item in pair if item.state == FAILED]
    assert refused.reason == common_pb2.FAILURE_REASON_INSUFFICIENT_BALANCE
    # The first envelope of both, in one transaction: the second of the pair was not in it.
    assert first.transaction_hash == paid.transaction_hash
    assert [first.attempts, paid.attempts, refused.attempts] == [1, 1, 0]


async def test_what_only_failed_with_others_goes_together_again(
    one_payer: WalletWorld, outside: Outside
) -> None:
    # The line is full, and its owner shows room until the payment arrives, as the node's lie does.
    full = await outside.account(room="2")
    await one_payer.pay_kale([full], 2 * KALE)
    destinations = [await outside.account() for _ in range(2)]
    payers = [await payer(one_payer, item, kale=16 * KALE) for item in destinations]
    greedy = await payer(one_payer, full, kale=9 * KALE)
    wishes = [(item, f"wish {number}", KALE) for number in range(15) for item in payers]
    await lie(one_payer, {"trustlines": {full: -2 * KALE}})
    try:
        done = await together(one_payer, [(greedy, "too much", 2 * KALE), *wishes])
    finally:
        await lie(one_payer, {})
    refused, *paid = [item.operation for item in done]
    assert (refused.state, refused.reason) == (
        FAILED,
        common_pb2.FAILURE_REASON_DESTINATION_FULL,
    )
    assert {item.state for item in paid} == {SUCCEEDED}
    # With the one that fails, and then without it, as many together as fit into a transaction.
    assert max(item.attempts for item in paid) <= 2
    assert len({item.transaction_hash for item in paid}) <= 3
