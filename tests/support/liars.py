"""A localnet with several nodes, some of which are told to lie, and a client of each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from stellar_sdk import Keypair, StrKey, scval, xdr

from localnet.app import RunningLocalnet, open_localnet
from localnet.config import LocalnetSettings
from localnet.soroban.storage import account_key, data_key, instance_key
from localnet.soroban.values import address, symbol, vector
from tests.support.localnet_chain import Chain
from tests.support.localnet_farm import farm_envelope, plant_arguments, unsigned_call


class Liars:
    """Nodes of one chain whose ledgers close on request; the first node is honest."""

    def __init__(self, running: RunningLocalnet, http: aiohttp.ClientSession) -> None:
        self.running = running
        self.http = http
        self.chain = Chain(node=running.node)

    async def tell(self, node: int = 1, *, status: int = 200, **body: Any) -> dict[str, Any]:
        """Send POST /faults to a node."""
        url = f"{self.running.urls[node]}/faults"
        async with self.http.post(url, json=body) as answer:
            assert answer.status == status, await answer.text()
            parsed: dict[str, Any] = await answer.json()
            return parsed

    async def used(self, name: str, node: int = 1) -> int:
        """Return how often a lie or fault has struck."""
        async with self.http.get(f"{self.running.urls[node]}/faults") as answer:
            return int((await answer.json())["used"].get(name, 0))

    async def ask(self, node: int, method: str, **params: Any) -> Any:
        """Return the result of a call."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.post(self.running.urls[node], json=body) as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.json())["result"]

    async def raw(self, node: int, method: str = "getHealth", **params: Any) -> str:
        """Return the body of an answer as it arrives."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.post(self.running.urls[node], json=body) as answer:
            return await answer.text()

    async def send(self, node: int, envelope: Any) -> Any:
        """Return the result of sendTransaction."""
        return await self.ask(node, "sendTransaction", transaction=envelope.to_xdr())

    async def entries(self, node: int, *keys: bytes) -> list[xdr.LedgerEntryData]:
        """Return entries as a node shows them."""
        texts = [xdr.LedgerKey.from_xdr_bytes(key).to_xdr() for key in keys]
        found = (await self.ask(node, "getLedgerEntries", keys=texts))["entries"]
        return [xdr.LedgerEntryData.from_xdr(entry["xdr"]) for entry in found]

    async def sequence(self, node: int, owner: Keypair) -> int:
        """Return the sequence number of an account, as a node has it."""
        (data,) = await self.entries(node, account_key(owner.public_key).raw)
        assert data.account is not None
        return data.account.seq_num.sequence_number.int64

    def farmer(self) -> Keypair:
        """Return a new keypair that has an account."""
        keypair = Keypair.random()
        self.chain.fund(keypair)
        return keypair

    async def plant(self, farmer: Keypair) -> Any:
        """Return a signed plant that was not sent to any node yet."""
        arguments = plant_arguments(farmer, 0)
        unsigned = unsigned_call(self.chain, farmer, "plant", arguments).to_xdr()
        simulated = await self.ask(0, "simulateTransaction", transaction=unsigned)
        return farm_envelope(self.chain, farmer, "plant", arguments, simulated=simulated)

    @property
    def farm(self) -> bytes:
        """Return the key of the farm's instance."""
        return instance_key(StrKey.encode_contract(self.chain.network.farm)).raw

    def pail(self, farmer: Keypair, index: int = 0) -> bytes:
        """Return the key of a pail."""
        return self._of_farm("Pail", address(farmer.public_key), index)

    def block(self, index: int = 0) -> bytes:
        """Return the key of a block."""
        return self._of_farm("Block", None, index)

    def _of_farm(self, name: str, who: xdr.SCVal | None, index: int) -> bytes:
        farm = StrKey.encode_contract(self.chain.network.farm)
        parts = [symbol(name), *([] if who is None else [who]), scval.to_uint32(index)]
        return data_key(farm, vector(*parts), "temporary").raw


@asynccontextmanager
async def liars(nodes: int = 3) -> AsyncIterator[Liars]:
    """Run the nodes while the block runs."""
    settings = LocalnetSettings(port=0, nodes=nodes)
    async with open_localnet(settings, timer=False) as running, aiohttp.ClientSession() as http:
        yield Liars(running, http)
