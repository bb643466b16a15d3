"""Farmers that pay out, and accounts outside of the pool, against a running wallet."""

from dataclasses import dataclass

import aiohttp
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2, withdrawal_pb2_grpc
from stellar_sdk import Keypair, TransactionBuilder, xdr
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
from localnet.ledger.keys import trustline_asset, trustline_key
from localnet.network import Network
from tests.support.wallet_world import PATIENCE, WalletWorld

KALE = 10**7


@dataclass(frozen=True, kw_only=True)
class Payer:
    """A farmer with KALE and an outside address."""

    world: WalletWorld
    farmer_id: str

    async def withdraw(self, request_id: str, amount: int) -> withdrawal_pb2.Withdrawal:
        """Withdraw stroops of KALE."""
        request = withdrawal_pb2.WithdrawRequest(
            request_id=request_id,
            farmer_id=self.farmer_id,
            asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
            amount=amount,
        )
        async with open_channel(self.world.target) as channel:
            stub = withdrawal_pb2_grpc.WithdrawalServiceStub(channel)
            return (await stub.Withdraw(request, timeout=PATIENCE)).withdrawal


class Outside:
    """Accounts that are not the pool's."""

    def __init__(self, world: WalletWorld, rpc: SorobanServerAsync) -> None:
        self._world = world
        self._rpc = rpc
        self._network = Network()

    async def account(
        self,
        *,
        trustline: bool = True,
        memo: bool = False,
        room: str | None = None,
        key: Keypair | None = None,
    ) -> str:
        """Make an account: with a trustline (of this limit), wanting a memo with each payment."""
        key = key or Keypair.random()
        async with aiohttp.ClientSession() as session:
            url = f"{self._world.rpc_url}/friendbot?addr={key.public_key}"
            async with session.get(url) as reply:
                assert reply.status == 200, await reply.text()
        source = await self._rpc.load_account(key.public_key)
        builder = TransactionBuilder(source, self._network.passphrase, base_fee=1000)
        builder.set_timeout(60)
        if trustline:
            builder.append_change_trust_op(self._network.kale, room)
        if memo:
            builder.append_manage_data_op("config.memo_required", b"1")
        if builder.operations:
            envelope = builder.build()
            envelope.sign(key)
            sent = await self._rpc.send_transaction(envelope)
            answer = await self._rpc.poll_transaction(sent.hash, max_attempts=20)
            assert answer.status.value == "SUCCESS"
        return key.public_key

    async def limit(self, key: Keypair, room: int | None) -> None:
        """Set the limit of an account's trustline in stroops (None: none)."""
        source = await self._rpc.load_account(key.public_key)
        builder = TransactionBuilder(source, self._network.passphrase, base_fee=1000)
        text = None if room is None else f"{room // KALE}.{room % KALE:07}"
        builder.set_timeout(60).append_change_trust_op(self._network.kale, text)
        envelope = builder.build()
        envelope.sign(key)
        sent = await self._rpc.send_transaction(envelope)
        answer = await self._rpc.poll_transaction(sent.hash, max_attempts=20)
        assert answer.status.value == "SUCCESS"

    async def kale(self, address: str) -> int:
        """Return the stroops of KALE that it has."""
        raw = Keypair.from_public_key(address).raw_public_key()
        line = trustline_key(raw, trustline_asset(self._network.kale.to_xdr_object()))
        found = await self._rpc.get_ledger_entries([xdr.LedgerKey.from_xdr_bytes(line)])
        trust_line = xdr.LedgerEntryData.from_xdr((found.entries or [])[0].xdr).trust_line
        return 0 if trust_line is None else trust_line.balance.int64


async def payer(
    world: WalletWorld, destination: str, *, kale: int = 10 * KALE, pooler_id: str = ""
) -> Payer:
    """Make a farmer with KALE that pays out to `destination`; by default of the world's pooler."""
    whose = pooler_id or world.pooler_id
    if pooler_id:
        await world.mark(pooler_id)
    request = wallet_pb2.CreateWalletRequest(
        farmer_id=str(new_id()), pooler_id=whose, payout_address=destination
    )
    wallet = (await world.stub.CreateWallet(request)).wallet
    await world.wait_until_ready([wallet.farmer_id], pooler_id=whose)
    await world.pay_kale([wallet.address], kale)
    return Payer(world=world, farmer_id=wallet.farmer_id)


async def lie(world: WalletWorld, lies: dict[str, object]) -> None:
    """Have the node tell these lies, and no others."""
    async with aiohttp.ClientSession() as session:
        url = f"{world.rpc_url}/faults"
        async with session.post(url, json={"reset": True, "lies": lies}) as reply:
            assert reply.status == 200, await reply.text()
