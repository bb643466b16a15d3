"""Who may write wallet's transactions may not therefore have the treasury pay for one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from kalepool.wallet.v1 import order_pb2, order_pb2_grpc, wallet_pb2
from stellar_sdk import Keypair, TransactionBuilder, TransactionEnvelope
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
from localnet.network import Network
from tests.support.database import Connection, DatabaseFactory, connect
from tests.support.payers import KALE, Outside, lie, payer
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world
from trials.security.thefts.payments import SHOWN

#: What the thief would have the treasury bid, in stroops.
_LOOT = 10**9
_INSERT = """
INSERT INTO wallet.transactions (
    id, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger
)
VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8)
"""


@pytest.fixture
async def world(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    async with (
        database_factory.create() as database,
        open_wallet_world(
            database,
            tmp_path_factory.mktemp("transactions"),
            CHANNEL_ACCOUNTS="0",
            PAYER_ACCOUNTS="1",
        ) as running,
    ):
        yield running


async def thieves_transaction(world: WalletWorld) -> TransactionEnvelope:
    """Sign a transaction of 100 operations that bids far too little to be taken."""
    key = Keypair.random()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{world.rpc_url}/friendbot?addr={key.public_key}") as reply,
    ):
        assert reply.status == 200
    async with SorobanServerAsync(world.rpc_url) as rpc:
        source = await rpc.load_account(key.public_key)
    builder = TransactionBuilder(source, Network().passphrase, base_fee=1)
    for number in range(100):
        builder.append_manage_data_op(f"thief {number}", b"paid by the treasury")
    envelope = builder.set_timeout(300).build()
    envelope.sign(key)
    return envelope


async def test_the_treasury_raises_no_bid_of_a_transaction_that_wallet_did_not_write(
    world: WalletWorld,
) -> None:
    await world.wait_for_payers()
    before = await xlm(world)
    envelope = await thieves_transaction(world)
    ledger = (await world.block()).head.ledger
    async with (
        connect(world.database.dsn("wallet")) as thief,
        connect(world.database.admin_dsn) as admin,
    ):
        name, inner = new_id(), envelope.transaction
        bounds: Any = inner.preconditions
        numbers = (inner.source.account_id, inner.sequence, envelope.hash_hex(), envelope.to_xdr())
        # It is followed by every process at once, and due to be sent.
        await thief.execute(
            _INSERT, name, *numbers, bounds.time_bounds.max_time, _LOOT, ledger - 10
        )
        await eventually(
            lambda: _is_logged(world, "transaction not written by wallet"),
            "nobody noticed",
            world.wallet,
        )
        await asyncio.sleep(3)
        row = await admin.fetchrow(
            "SELECT state::text, hash, last_answer FROM wallet.transactions WHERE id = $1", name
        )
        assert row is not None
        # It was neither sent nor signed for.
        assert tuple(row) == ("signed", envelope.hash_hex(), "")
        signed = await admin.fetchval(
            "SELECT count(*) FROM wallet.audit_log WHERE strpos(details, $1) > 0", str(name)
        )
        assert signed == 0
        async with open_channel(world.target) as channel:
            orders = order_pb2_grpc.OrderServiceStub(channel)
            found = await orders.CheckOrders(order_pb2.CheckOrdersRequest(), timeout=60)
        assert [row.name.partition("@")[0] for row in found.rows] == [f"transactions/{name}"]
        await _is_gone(admin, world, envelope)
    assert await xlm(world) == before


async def test_a_withdrawal_that_failed_is_not_made_good_because_a_row_says_it_was_made(
    world: WalletWorld,
) -> None:
    await world.wait_for_payers()
    async with SorobanServerAsync(world.rpc_url) as rpc:
        outside = Outside(world, rpc)
        destination = await outside.account()
        farmer = await payer(world, destination, kale=KALE)
        address = (
            await world.stub.GetWallet(wallet_pb2.GetWalletRequest(farmer_id=farmer.farmer_id))
        ).wallet.address
        # It changes between the look and the ledger: here the node shows more KALE than there is.
        await lie(world, {"trustlines": {address: 9 * KALE}})
        failed = await farmer.withdraw("fails in the ledger", 5 * KALE)
        await lie(world, {})
        assert failed.operation.reason
        await world.pay_kale([address], 9 * KALE)
        async with connect(world.database.dsn("wallet")) as thief:
            await thief.execute(SHOWN, UUID(failed.withdrawal_id))
        await eventually(
            lambda: _is_logged(world, "shown target not written by wallet"),
            "nobody noticed",
            world.wallet,
        )
        # A payer that is behind is looked at for three ledgers before anything is made good.
        await asyncio.sleep(10)
        assert await outside.kale(destination) == 0
        # What is honest goes on.
        assert (await farmer.withdraw("honest", KALE)).operation.transaction_hash
        assert await outside.kale(destination) == KALE


async def _is_logged(world: WalletWorld, words: str) -> bool:
    return words in world.wallet.log_path.read_text(encoding="utf-8")


async def _is_gone(admin: Connection, world: WalletWorld, envelope: TransactionEnvelope) -> None:
    """Check that no ledger has taken the source's number."""
    async with SorobanServerAsync(world.rpc_url) as rpc:
        account = await rpc.load_account(envelope.transaction.source.account_id)
    assert account.sequence == envelope.transaction.sequence - 1


async def xlm(world: WalletWorld) -> int:
    """Return the treasury's stroops of XLM."""
    treasury = await world.stub.GetTreasury(wallet_pb2.GetTreasuryRequest())
    return int(treasury.xlm_stroops)
