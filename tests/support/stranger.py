"""An account outside of the pool that calls the farm."""

import asyncio

import aiohttp
from stellar_sdk import Keypair, TransactionBuilder, scval, xdr
from stellar_sdk.soroban_rpc import GetTransactionStatus
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.kale.networks import LOCALNET


class Stranger:
    """A caller that works and harvests for any farmer.

    The farm asks for nobody's consent to either.
    """

    def __init__(self, server: SorobanServerAsync, keypair: Keypair) -> None:
        self._server = server
        self._keypair = keypair

    @classmethod
    async def fund(cls, server: SorobanServerAsync, rpc_url: str) -> "Stranger":
        """Make a stranger with XLM for fees."""
        keypair = Keypair.random()
        url = f"{rpc_url}/friendbot?addr={keypair.public_key}"
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            assert reply.status == 200, await reply.text()
        return cls(server, keypair)

    async def plant(self) -> None:
        """Plant without a stake."""
        await self._call("plant", [scval.to_address(self._keypair.public_key), scval.to_int128(0)])

    async def harvest(self, farmer: str, block: int) -> int:
        """Harvest a farmer's pail; return the farm's payment to the farmer, without the stake."""
        arguments = [scval.to_address(farmer), scval.to_uint32(block)]
        return scval.from_int128(await self._call("harvest", arguments))

    async def work(self, farmer: str, nonce: int, digest: bytes) -> int:
        """Work a farmer's pail; return the gap."""
        arguments = [scval.to_address(farmer), scval.to_bytes(digest), scval.to_uint64(nonce)]
        return scval.from_uint32(await self._call("work", arguments))

    async def _call(self, function: str, arguments: list[xdr.SCVal]) -> xdr.SCVal:
        source = await self._server.load_account(self._keypair.public_key)
        transaction = (
            TransactionBuilder(source, LOCALNET.passphrase, base_fee=100_000)
            .append_invoke_contract_function_op(LOCALNET.farm, function, arguments)
            .set_timeout(60)
            .build()
        )
        prepared = await self._server.prepare_transaction(transaction)
        prepared.sign(self._keypair)
        sent = await self._server.send_transaction(prepared)
        for _ in range(200):
            found = await self._server.get_transaction(sent.hash)
            if found.status is not GetTransactionStatus.NOT_FOUND:
                break
            await asyncio.sleep(0.1)
        assert found.status is GetTransactionStatus.SUCCESS, found
        return _returned(found.result_meta_xdr)


def _returned(text: str | None) -> xdr.SCVal:
    assert text is not None
    meta = xdr.TransactionMeta.from_xdr(text)
    body = meta.v4 or meta.v3
    assert body is not None
    assert body.soroban_meta is not None
    assert body.soroban_meta.return_value is not None
    return body.soroban_meta.return_value
