"""What `kalepool statement verify` reads of a node, held against what the SDK has sent.

A fresh localnet answers; with CONTRACT_RPC_URL and CONTRACT_FRIENDBOT_URL, any network where
friendbot makes accounts does.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from stellar_sdk import Asset, Keypair, StrKey, TransactionBuilder
from stellar_sdk.soroban_rpc import GetTransactionStatus
from stellar_sdk.soroban_server_async import SorobanServerAsync

from cli.stellar import open_node
from libs.kale.statements.roots import ENTRY_NAME, entry_value
from tests.support.localnet_process import localnet_process

#: Seconds until a ledger has a transaction.
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Network:
    """A node, and what makes accounts there."""

    rpc_url: str
    friendbot_url: str


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    """The network of the settings, else a localnet."""
    given = os.environ.get("CONTRACT_RPC_URL"), os.environ.get("CONTRACT_FRIENDBOT_URL")
    if given[0] and given[1]:
        yield Network(rpc_url=given[0], friendbot_url=given[1])
        return
    async with localnet_process() as found:
        yield Network(rpc_url=found.rpc_url, friendbot_url=found.friendbot_url)


async def funded(network: Network) -> Keypair:
    """A new account."""
    key = Keypair.random()
    async with (
        aiohttp.ClientSession() as http,
        http.get(network.friendbot_url, params={"addr": key.public_key}) as answer,
    ):
        assert answer.status == 200, await answer.text()
    return key


async def settled(server: SorobanServerAsync, key: Keypair, builder: TransactionBuilder) -> str:
    """Sign and send a transaction; return its hash once a ledger has it."""
    envelope = builder.set_timeout(60).build()
    envelope.sign(key)
    sent = await server.send_transaction(envelope)
    async with asyncio.timeout(_PATIENCE):
        while True:
            found = await server.get_transaction(sent.hash)
            if found.status is not GetTransactionStatus.NOT_FOUND:
                return sent.hash
            await asyncio.sleep(0.3)


async def builder_of(server: SorobanServerAsync, key: Keypair) -> TransactionBuilder:
    """The next transaction of an account."""
    passphrase = (await server.get_network()).passphrase
    account = await server.load_account(key.public_key)
    return TransactionBuilder(account, passphrase, base_fee=100_000)


async def test_a_data_entry_and_transactions_are_read_as_the_sdk_wrote_them(
    network: Network,
) -> None:
    pool, other = await funded(network), await funded(network)
    address, root = pool.public_key, entry_value(20_000, bytes(range(32)))
    async with (
        SorobanServerAsync(network.rpc_url) as server,
        open_node(network.rpc_url) as node,
    ):
        assert await node.entry(address) is None
        writing = (await builder_of(server, pool)).append_manage_data_op(ENTRY_NAME, root)
        written = await settled(server, pool, writing)
        assert await node.entry(address) == root
        paying = (await builder_of(server, pool)).append_payment_op(
            other.public_key, Asset.native(), "1.5"
        )
        paid = await settled(server, pool, paying)
        failing = (await builder_of(server, pool)).append_payment_op(
            other.public_key, Asset.native(), "99999999"
        )
        failed = await settled(server, pool, failing)
        passphrase = (await server.get_network()).passphrase
        token = StrKey.decode_contract(Asset.native().contract_id(passphrase))
        names = [written, paid, failed, "00" * 32]
        seen = await node.transactions(names, account=other.public_key, token=token)
        assert seen.keys() == {written, paid, failed}
        for name in (written, paid, failed):
            assert seen[name].ledger == (await server.get_transaction(name)).ledger
        assert [seen[name].succeeded for name in (written, paid, failed)] == [True, True, False]
        # A node that tells events tells these.
        assert seen[paid].moves in {(15_000_000,), None}
        assert (await node.network()).oldest <= seen[written].ledger
