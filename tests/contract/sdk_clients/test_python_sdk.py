"""The unmodified Python SDK farms on localnet, with its public calls only."""

import asyncio
from typing import Any

import aiohttp
import pytest
import sha3
from stellar_sdk import (
    Asset,
    Keypair,
    TransactionBuilder,
    TransactionEnvelope,
    scval,
    xdr,
)
from stellar_sdk.soroban_rpc import GetTransactionStatus, SendTransactionStatus
from stellar_sdk.soroban_server_async import Durability, SorobanServerAsync

from libs.kale.networks import LOCALNET

pytestmark = pytest.mark.e2e


class Farmer:
    """A farmer who knows nothing of this project."""

    def __init__(self, server: SorobanServerAsync) -> None:
        self.server = server
        self.keypair = Keypair.random()

    @property
    def address(self) -> str:
        """strkey G..."""
        return self.keypair.public_key

    async def builder(self) -> TransactionBuilder:
        """A transaction with the next sequence number."""
        account = await self.server.load_account(self.address)
        return TransactionBuilder(account, LOCALNET.passphrase, base_fee=100).set_timeout(60)

    async def settle(self, envelope: TransactionEnvelope) -> Any:
        """Signs, sends and waits."""
        envelope.sign(self.keypair)
        sent = await self.server.send_transaction(envelope)
        assert sent.status is SendTransactionStatus.PENDING, sent
        found = await self.server.poll_transaction(envelope.hash_hex(), 60)
        assert found.status is GetTransactionStatus.SUCCESS, found
        return found

    async def invoke(self, name: str, *arguments: xdr.SCVal) -> tuple[int, Any]:
        """Calls the farm; its ledger and what it returned."""
        builder = await self.builder()
        builder.append_invoke_contract_function_op(LOCALNET.farm, name, list(arguments))
        found = await self.settle(await self.server.prepare_transaction(builder.build()))
        meta = xdr.TransactionMeta.from_xdr(found.result_meta_xdr)
        assert meta.v4 is not None
        assert meta.v4.soroban_meta is not None
        assert meta.v4.soroban_meta.return_value is not None
        return found.ledger, scval.to_native(meta.v4.soroban_meta.return_value)

    async def stored(self, key: xdr.SCVal, durability: Durability) -> xdr.SCVal:
        """A value of the farm's storage."""
        entry = await self.server.get_contract_data(LOCALNET.farm, key, durability)
        assert entry is not None
        data = xdr.LedgerEntryData.from_xdr(entry.xdr).contract_data
        assert data is not None
        return data.val

    async def farm(self) -> dict[str, Any]:
        """The farm's instance storage."""
        key = xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)
        instance = (await self.stored(key, Durability.PERSISTENT)).instance
        assert instance is not None
        assert instance.storage is not None
        return {
            scval.from_symbol(scval.from_vec(item.key)[0]): scval.to_native(item.val)
            for item in instance.storage.sc_map
        }


def find_nonce(index: int, entropy: bytes, key: bytes, zeros: int) -> tuple[int, bytes]:
    """The first nonce whose hash has so many leading zeros."""
    nonce = 0
    while True:
        preimage = index.to_bytes(4, "big") + nonce.to_bytes(8, "big") + entropy + key
        digest = sha3.keccak_256(preimage).digest()
        if digest.hex().startswith("0" * zeros):
            return nonce, digest
        nonce += 1


async def wait_for_ledger(server: SorobanServerAsync, *, after: int = 0, closing: int = 0) -> None:
    """Until a ledger after `after`, or one that closed at `closing` or later."""
    while True:
        latest = await server.get_latest_ledger()
        if latest.sequence > after and int(latest.close_time) >= closing:
            return
        await asyncio.sleep(0.1)


async def test_it_funds_itself_plants_works_and_harvests(localnet: Any) -> None:
    code, _, issuer = LOCALNET.asset.partition(":")
    asset = Asset(code, issuer)
    async with SorobanServerAsync(localnet.rpc_url) as server, aiohttp.ClientSession() as http:
        farmer = Farmer(server)
        async with http.get(localnet.friendbot_url, params={"addr": farmer.address}) as answer:
            assert answer.status == 200
        trust = (await farmer.builder()).append_change_trust_op(asset).build()
        await farmer.settle(trust)

        who = scval.to_address(farmer.address)
        nothing = scval.to_int128(0)
        planted_in, _ = await farmer.invoke("plant", who, nothing)
        state = await farmer.farm()
        index = state.get("FarmIndex", 0)
        key = scval.to_vec([scval.to_symbol("Block"), scval.to_uint32(index)])
        block: Any = scval.to_native(await farmer.stored(key, Durability.TEMPORARY))
        nonce, digest = find_nonce(index, block["entropy"], farmer.keypair.raw_public_key(), 1)
        await wait_for_ledger(server, after=planted_in)
        worked_in, gap = await farmer.invoke(
            "work", who, scval.to_bytes(digest), scval.to_uint64(nonce)
        )
        assert gap == worked_in - planted_in >= 1

        opened = int(state["FarmBlock"]["timestamp"])
        await wait_for_ledger(server, closing=opened + localnet.block_seconds)
        await farmer.invoke("plant", who, nothing)
        _, reward = await farmer.invoke("harvest", who, scval.to_uint32(index))
        # The only farmer of its block gets all of it.
        assert reward == 25_050_000_000
