"""Payouts of one pooler that cannot succeed, beside those of another: nobody waits for them."""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.ids import new_id
from tests.support.database import DatabaseFactory, connect
from tests.support.payers import KALE, Outside, Payer, lie, payer
from tests.support.wallet_world import WalletWorld, open_wallet_world

SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
FAILED = wallet_pb2.OPERATION_STATE_FAILED
R = common_pb2.FailureReason
#: Seconds of a ledger.
LEDGER = 1.0
_TRANSACTIONS = "SELECT count(*) FROM wallet.transactions WHERE bump_to IS NOT NULL"


@pytest.fixture(scope="module")
async def slow(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    """A wallet whose ledgers are long enough to be counted by a clock."""
    logs = tmp_path_factory.mktemp("fair")
    async with (
        database_factory.create() as database,
        open_wallet_world(database, logs, ledger_seconds=LEDGER) as running,
    ):
        await running.wait_for_payers()
        yield running


@pytest.fixture
async def outside(slow: WalletWorld) -> AsyncIterator[Outside]:
    """Accounts that are not the pool's."""
    async with SorobanServerAsync(slow.rpc_url) as rpc:
        yield Outside(slow, rpc)


async def greedy_farmers(world: WalletWorld, destination: str, count: int) -> list[Payer]:
    """Farmers of another pooler, who all pay out to one address."""
    whose = str(new_id())
    return [await payer(world, destination, pooler_id=whose) for _ in range(count)]


async def transactions(world: WalletWorld) -> int:
    """Count the payers' transactions so far."""
    async with connect(world.database.admin_dsn) as admin:
        return int(await admin.fetchval(_TRANSACTIONS))


async def timed(one: Payer, name: str) -> tuple[float, withdrawal_pb2.Withdrawal]:
    """Withdraw, and tell how many seconds that took."""
    began = time.monotonic()
    done = await one.withdraw(name, KALE)
    return time.monotonic() - began, done


async def test_a_hundred_that_cannot_succeed_cost_nothing_and_keep_nobody_waiting(
    slow: WalletWorld, outside: Outside
) -> None:
    full = await outside.account(room="0.0000001")
    greedy = await greedy_farmers(slow, full, 5)
    honest = await payer(slow, await outside.account())
    alone, _ = await timed(honest, "alone")
    before = await transactions(slow)
    asked = [
        asyncio.create_task(one.withdraw(f"wish {number}", KALE))
        for number in range(20)
        for one in greedy
    ]
    await asyncio.sleep(0)
    times = []
    for number in range(3):
        took, done = await timed(honest, f"beside {number}")
        assert done.operation.state == SUCCEEDED
        times.append(took)
    refused = [item.operation for item in await asyncio.gather(*asked)]
    assert {(item.state, item.reason) for item in refused} == {
        (FAILED, R.FAILURE_REASON_DESTINATION_FULL)
    }
    assert {(item.attempts, item.fee_charged) for item in refused} == {(0, 0)}
    assert await transactions(slow) == before + 3
    assert max(times) < alone + 2 * LEDGER


async def test_those_that_ledgers_refuse_keep_to_themselves(
    slow: WalletWorld, outside: Outside
) -> None:
    """The owner of the destination takes its room away just before each payment arrives."""
    full = await outside.account(room="5")
    greedy = await greedy_farmers(slow, full, 3)
    honest = [await payer(slow, await outside.account()) for _ in range(3)]
    alone, _ = await timed(honest[0], "alone")
    await slow.pay_kale([full], 5 * KALE)
    await lie(slow, {"trustlines": {full: -5 * KALE}})
    try:
        asked = [
            asyncio.create_task(one.withdraw(f"wish {number}", KALE))
            for number in range(4)
            for one in greedy
        ]
        times = []
        for number in range(5):
            together = [timed(one, f"beside {number}") for one in honest]
            for took, done in await asyncio.gather(*together):
                assert done.operation.state == SUCCEEDED
                times.append(took)
        # Once they have failed together, they go one at a time, by one payer at most: the others
        # wait for a ledger at the very most, and are never in the same transaction again.
        assert max(times) < alone + 3 * LEDGER
        assert sorted(times)[len(times) // 2] < alone + 2 * LEDGER
        refused = [item.operation for item in await asyncio.gather(*asked)]
    finally:
        await lie(slow, {})
    assert {(item.state, item.reason) for item in refused} == {
        (FAILED, R.FAILURE_REASON_DESTINATION_FULL)
    }
    assert max(item.attempts for item in refused) <= 2
    # What failed counts: a farmer may have so many refused within a day, and then asks no more.
    await lie(slow, {"trustlines": {full: -5 * KALE}})
    try:
        await greedy[0].withdraw("one more", KALE)
        with pytest.raises(grpc.aio.AioRpcError, match="failed within 24 hours") as caught:
            await greedy[0].withdraw("too many", KALE)
    finally:
        await lie(slow, {})
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
