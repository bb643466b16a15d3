"""Withdrawals whose ledger no node remembers: their payer's sequence number shows the outcome."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2, withdrawal_pb2_grpc
from stellar_sdk import Keypair, TransactionBuilder
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
from localnet.network import Network
from tests.support.database import DatabaseFactory, connect
from tests.support.wallet_world import WalletWorld, open_wallet_world

pytestmark = pytest.mark.faults

KALE = 10**7
SECONDS = 150


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds."""
    for _ in range(SECONDS * 5):
        if await holds():
            return
        await asyncio.sleep(0.2)
    pytest.fail("it did not come true")


async def payer(world: WalletWorld, destination: str, kale: int) -> str:
    """Create a farmer with KALE whose payout address is another farmer's account."""
    request = wallet_pb2.CreateWalletRequest(
        farmer_id=str(new_id()), pooler_id=world.pooler_id, payout_address=destination
    )
    wallet = (await world.stub.CreateWallet(request)).wallet
    await world.wait_until_ready([wallet.farmer_id])
    await world.pay_kale([wallet.address], kale)
    return wallet.farmer_id


async def stranger(world: WalletWorld) -> Keypair:
    """Create an account outside of the pool that may hold 3 KALE."""
    key = await account(world)
    await included(world, await limit_line(world, key, "3"))
    return key


async def account(world: WalletWorld) -> Keypair:
    """Create an account outside of the pool, which takes a ledger."""
    key = Keypair.random()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{world.rpc_url}/friendbot?addr={key.public_key}") as reply,
    ):
        assert reply.status == 200
    return key


async def limit_line(world: WalletWorld, key: Keypair, kale: str) -> str:
    """Let an account outside of the pool hold so much KALE and no more; return the hash."""
    network = Network()
    async with SorobanServerAsync(world.rpc_url) as rpc:
        source = await rpc.load_account(key.public_key)
        builder = TransactionBuilder(source, network.passphrase, base_fee=1000).set_timeout(60)
        envelope = builder.append_change_trust_op(network.kale, limit=kale).build()
        envelope.sign(key)
        return (await rpc.send_transaction(envelope)).hash


async def included(world: WalletWorld, name: str) -> None:
    """Wait until a transaction has succeeded."""
    async with SorobanServerAsync(world.rpc_url) as rpc:
        answer = await rpc.poll_transaction(name, max_attempts=20)
        assert answer.status.value == "SUCCESS"


async def set_fault(world: WalletWorld, **fault: object) -> None:
    """Have the node do something wrong from now on."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{world.rpc_url}/faults", json=fault) as reply,
    ):
        assert reply.status == 200


async def ask(world: WalletWorld, farmer: str, name: str, amount: int) -> None:
    """Request a withdrawal, whose end is looked up later."""
    request = withdrawal_pb2.WithdrawRequest(
        request_id=name,
        farmer_id=farmer,
        asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
        amount=amount,
    )
    async with open_channel(world.target) as channel:
        await withdrawal_pb2_grpc.WithdrawalServiceStub(channel).Withdraw(request, timeout=5)


async def forget(world: WalletWorld) -> None:
    """Let the node lose its history up to now, and one ledger more."""
    async with aiohttp.ClientSession() as session:

        async def call(method: str) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method}
            async with session.post(world.rpc_url, json=body) as reply:
                return (await reply.json(content_type=None))["result"]

        latest = (await call("getLatestLedger"))["sequence"]

        async def later() -> bool:
            return bool((await call("getLatestLedger"))["sequence"] >= latest + 2)

        await until(later)
        await set_fault(world, forget_before=latest + 2)


async def ends(admin: Any) -> dict[str, tuple[str, int, str]]:
    """Return state, envelopes and message of each withdrawal, by its request."""
    rows = await admin.fetch(
        "SELECT d.request_id, o.state::text, o.attempts, o.error_message FROM wallet.withdrawals "
        "AS d INNER JOIN wallet.operations AS o ON d.operation_id = o.id"
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


async def narrow_unseen(world: WalletWorld, key: Keypair) -> None:
    """Let a line take less than a payment brings, while the node hides it: so that is signed."""
    await set_fault(world, stale=True)
    await limit_line(world, key, "1")
    await account(world)  # once it is there, so is the limit


async def is_signed(admin: Any) -> bool:
    """Tell whether payments were signed."""
    return bool(await admin.fetchval("SELECT count(*) FROM wallet.transactions WHERE bump_to > 0"))


@pytest.mark.parametrize("fails", [True, False])
async def test_a_withdrawal_whose_ledger_is_forgotten(
    fails: bool, database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with (
        database_factory.create() as database,
        open_wallet_world(
            database,
            tmp_path_factory.mktemp("forgotten"),
            RECONCILE_INTERVAL_MS="0",
            PAYER_ACCOUNTS="1",  # so that they go in one transaction
        ) as world,
        connect(database.admin_dsn) as admin,
    ):
        ((outside, destination),) = (await world.create_farmers(1)).items()
        await world.wait_until_ready([outside])
        sound = await payer(world, destination, 10 * KALE)
        other = await payer(world, destination, 3 * KALE)
        narrow = await stranger(world)
        vain = await payer(world, narrow.public_key, 3 * KALE)
        await world.wait_for_payers()
        await world.wait_until_settled()  # the next transaction is the one of the payments
        await world.restart(FAILPOINTS="wallet.settle.before=kill")
        await world.wait_until_serving()
        wishes = [(sound, "sound", KALE), (other, "other", 2 * KALE)]
        # The transaction pays all or nothing.
        wishes += [(vain, "vain", 2 * KALE)] if fails else []

        async def noted() -> bool:
            return len(await ends(admin)) == len(wishes)

        async with world.paused():
            asked = asyncio.gather(*(ask(world, *wish) for wish in wishes), return_exceptions=True)
            await until(noted)
            if fails:
                await narrow_unseen(world, narrow)
        await until(lambda: is_signed(admin))
        await set_fault(world, stale=False)
        await world.wait_until_dead()  # it has seen the ledger, which is not written down
        await forget(world)
        await world.restart()
        await asked

        async def ended() -> bool:
            return {end[0] for end in (await ends(admin)).values()} <= {"succeeded", "failed"}

        await until(ended)
        found = await ends(admin)
        states = sorted(state for state, *_ in found.values())
        kale = (await world.balances([outside]))[outside].kale_stroops
        assert kale == 3 * KALE, found
        if fails:
            assert states == ["failed", "succeeded", "succeeded"]
            assert found["vain"][0] == "failed"
            assert found["sound"] == ("succeeded", 2, "")
        else:
            assert states == ["succeeded", "succeeded"]
            assert {
                (attempts, "number shows that it was paid" in text)
                for _, attempts, text in found.values()
            } == {(1, True)}
