"""`python -m localnet` as a process, used only through stellar-sdk's public calls.

A farmer without lumens (its reserves sponsored, its fees bumped by a pool) plants with a stake,
works with a nonce found here, and harvests.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import urlopen

import pytest
import sha3
from stellar_sdk import (
    Address,
    Asset,
    Keypair,
    TransactionBuilder,
    scval,
    xdr,
)
from stellar_sdk.soroban_rpc import GetTransactionStatus, SendTransactionStatus
from stellar_sdk.soroban_server_async import Durability, SorobanServerAsync

from localnet.network import Network

pytestmark = pytest.mark.e2e

NETWORK = Network()
FARM = Address.from_raw_contract(NETWORK.farm).address
#: Seconds of a block in this test.
BLOCK_SECONDS = 4


@asynccontextmanager
async def localnet_process(*options: str) -> AsyncIterator[str]:
    """A localnet on a free port; gives the address of its JSON-RPC."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "localnet",
        *("--port", "0", "--ledger-seconds", "0.4", "--block-seconds", str(BLOCK_SECONDS)),
        *options,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        ready = json.loads(line)
        assert ready["event"] == "ready"
        yield ready["rpc_url"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_port_that_is_taken_is_named() -> None:
    async with localnet_process() as url:
        port = url.rpartition(":")[2]
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "localnet", "--port", port), stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(second.communicate(), 60)
    assert second.returncode == 1
    assert errors.startswith(b"cannot listen at --host and --port: ")
    assert port.encode() in errors
    assert errors.count(b"\n") == 1


async def http_get(url: str) -> Any:
    def get() -> Any:
        with urlopen(url, timeout=30) as answer:  # noqa: S310  (a test's own address)
            return json.load(answer)

    return await asyncio.to_thread(get)


async def settle(server: SorobanServerAsync, envelope: Any) -> Any:
    """Send and wait for success; returns the transaction."""
    sent = await server.send_transaction(envelope)
    assert sent.status is SendTransactionStatus.PENDING, sent
    found = await server.poll_transaction(envelope.hash_hex(), 30)
    assert found.status is GetTransactionStatus.SUCCESS, found
    return found


class Client:
    """A pool with one farmer."""

    def __init__(self, server: SorobanServerAsync) -> None:
        self.server = server
        self.pool, self.farmer = Keypair.random(), Keypair.random()

    async def onboard(self) -> None:
        """Create the farmer's account and trustline with sponsored reserves."""
        account = await self.server.load_account(self.pool.public_key)
        farmer = self.farmer.public_key
        envelope = (
            TransactionBuilder(account, NETWORK.passphrase, 100)
            .append_begin_sponsoring_future_reserves_op(farmer)
            .append_create_account_op(farmer, "0")
            .append_change_trust_op(NETWORK.kale, source=farmer)
            .append_end_sponsoring_future_reserves_op(source=farmer)
            .set_timeout(60)
            .build()
        )
        envelope.sign(self.pool)
        envelope.sign(self.farmer)
        await settle(self.server, envelope)

    async def call(
        self, source: Keypair, function: str, arguments: list[xdr.SCVal], *, bump: bool = False
    ) -> Any:
        """Simulate, sign, send; the return value."""
        account = await self.server.load_account(source.public_key)
        envelope = (
            TransactionBuilder(account, NETWORK.passphrase, 100)
            .append_invoke_contract_function_op(FARM, function, arguments)
            .set_timeout(60)
            .build()
        )
        prepared = await self.server.prepare_transaction(envelope)
        prepared.sign(source)
        if bump:
            outer = TransactionBuilder.build_fee_bump_transaction(
                self.pool, prepared.transaction.fee, prepared, NETWORK.passphrase
            )
            outer.sign(self.pool)
            prepared = outer  # type: ignore[assignment]
        found = await settle(self.server, prepared)
        meta = xdr.TransactionMeta.from_xdr(found.result_meta_xdr).v4
        assert meta is not None
        assert meta.soroban_meta is not None
        assert meta.soroban_meta.return_value is not None
        return scval.to_native(meta.soroban_meta.return_value)

    async def plant(self, stake: int) -> None:
        arguments = [scval.to_address(self.farmer.public_key), scval.to_int128(stake)]
        await self.call(self.farmer, "plant", arguments, bump=True)

    async def block(self, index: int) -> Any:
        """The Block record."""
        key = scval.to_vec([scval.to_symbol("Block"), scval.to_uint32(index)])
        data = await self.server.get_contract_data(FARM, key, durability=Durability.TEMPORARY)
        assert data is not None
        entry = xdr.LedgerEntryData.from_xdr(data.xdr).contract_data
        assert entry is not None
        return scval.to_native(entry.val)

    async def work(self, index: int) -> int:
        """Find a nonce whose hash has a leading zero digit, and submit it; the gap."""
        entropy = (await self.block(index))["entropy"]
        key = self.farmer.raw_public_key()
        for nonce in range(10_000):
            preimage = index.to_bytes(4, "big") + nonce.to_bytes(8, "big") + entropy + key
            digest = sha3.keccak_256(preimage).digest()
            if digest[0] < 16:
                break
        arguments = [
            scval.to_address(self.farmer.public_key),
            scval.to_bytes(digest),
            scval.to_uint64(nonce),
        ]
        return int(await self.call(self.pool, "work", arguments))

    async def harvest(self, index: int) -> int:
        arguments = [scval.to_address(self.farmer.public_key), scval.to_uint32(index)]
        return int(await self.call(self.pool, "harvest", arguments))

    async def kale(self) -> int:
        return await kale_balance(self.server, self.farmer.public_key, NETWORK.kale)


async def kale_balance(server: SorobanServerAsync, address: str, asset: Asset) -> int:
    """Stroops on a trustline."""
    key = xdr.LedgerKey(
        xdr.LedgerEntryType.TRUSTLINE,
        trust_line=xdr.LedgerKeyTrustLine(
            account_id=Keypair.from_public_key(address).xdr_account_id(),
            asset=asset.to_trust_line_asset_xdr_object(),
        ),
    )
    answer = await server.get_ledger_entries([key])
    assert answer.entries is not None
    line = xdr.LedgerEntryData.from_xdr(answer.entries[0].xdr).trust_line
    assert line is not None
    return line.balance.int64


async def test_a_block_from_planting_to_harvest() -> None:
    async with localnet_process() as url, SorobanServerAsync(url) as server:
        client = Client(server)
        await http_get(f"{url}/friendbot?addr={client.pool.public_key}")
        await client.onboard()
        address = client.farmer.public_key
        await http_get(f"{url}/kale?addr={address}&amount=1000000000")
        start = time.monotonic()
        await client.plant(400_000_000)
        assert await client.kale() == 600_000_000
        index = await _open_block(client)
        # A work simulated while the plant's ledger is the latest gives GapCountTooLow.
        await asyncio.sleep(0.6)
        assert await client.work(index) >= 1
        await asyncio.sleep(max(0, start + BLOCK_SECONDS + 1.5 - time.monotonic()))
        await client.plant(0)
        reward = await client.harvest(index)
        assert reward > 0
        assert await client.kale() == 1_000_000_000 + reward


async def _open_block(client: Client) -> int:
    """The index that the farm's instance says, 0 while it says none."""
    data = await client.server.get_contract_data(
        FARM, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)
    )
    assert data is not None
    entry = xdr.LedgerEntryData.from_xdr(data.xdr).contract_data
    assert entry is not None
    assert entry.val.instance is not None
    assert entry.val.instance.storage is not None
    for pair in entry.val.instance.storage.sc_map:
        if scval.to_native(pair.key) == ["FarmIndex"]:
            return int(scval.to_native(pair.val))  # type: ignore[arg-type]
    return 0


async def test_the_chain_goes_on_after_a_restart(tmp_path: Any) -> None:
    keypair = Keypair.random()
    options = ("--state-dir", str(tmp_path))
    async with localnet_process(*options) as url:
        funded = await http_get(f"{url}/friendbot?addr={keypair.public_key}")
    async with localnet_process(*options) as url, SorobanServerAsync(url) as server:
        account = await server.load_account(keypair.public_key)
        assert account.sequence == funded["ledger"] << 32
        found = await server.get_transaction(funded["hash"])
        assert found.status is GetTransactionStatus.SUCCESS
        assert found.latest_ledger >= funded["ledger"]
