"""homestead, a farmer's program that others wrote, farms on localnet unmodified.

It is a part of FredericRezeau/kale-miner, which is in no package registry: HOMESTEAD_SOURCE names a
checkout of it. Its own packages are installed from npm, and its miner is compiled.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from stellar_sdk import Asset, Keypair, TransactionBuilder, scval
from stellar_sdk.soroban_rpc import GetTransactionStatus
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.kale.networks import LOCALNET
from tests.support.localnet_process import Localnet, localnet_process

_SOURCE = os.environ.get("HOMESTEAD_SOURCE", "")
_MISSING = [name for name in ("node", "npm", "make", "g++") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not _SOURCE, reason="HOMESTEAD_SOURCE names no checkout of FredericRezeau/kale-miner"
    ),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}"),
]
#: Seconds of a block: homestead looks every five seconds.
_BLOCK_SECONDS = 20
#: Seconds until homestead must have harvested.
_PATIENCE = 150.0


@pytest.fixture
async def homestead(tmp_path: Path) -> Path:
    """A copy with its packages and its miner."""
    folder = tmp_path / "kale-miner"
    shutil.copytree(_SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", ".git"))
    install = ("npm", "install", "--no-audit", "--no-fund", "--omit=dev")
    await run(*install, folder=folder / "homestead")
    await run("make", folder=folder)
    return folder


async def run(*command: str, folder: Path) -> None:
    """Runs a command; fails with all that it said when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 240)
    assert process.returncode == 0, out.decode()


class Neighbour:
    """Another farmer, who opens blocks: homestead itself waits for five minutes to do that."""

    def __init__(self, server: SorobanServerAsync) -> None:
        self.server = server
        self.key = Keypair.random()

    async def open_block(self) -> None:
        """Plant nothing."""
        arguments = [scval.to_address(self.key.public_key), scval.to_int128(0)]
        builder = await self._builder(self.key)
        builder.append_invoke_contract_function_op(LOCALNET.farm, "plant", arguments)
        await self.settled(self.key, builder, simulate=True)

    async def trust(self, key: Keypair) -> None:
        """Have an account take KALE."""
        builder = await self._builder(key)
        builder.append_change_trust_op(Asset(*LOCALNET.asset.split(":")))
        await self.settled(key, builder, simulate=False)

    async def _builder(self, key: Keypair) -> TransactionBuilder:
        account = await self.server.load_account(key.public_key)
        return TransactionBuilder(account, LOCALNET.passphrase, base_fee=10_000)

    async def settled(self, key: Keypair, builder: TransactionBuilder, *, simulate: bool) -> None:
        """Send a transaction; return once a ledger has it."""
        envelope = builder.set_timeout(60).build()
        if simulate:
            envelope = await self.server.prepare_transaction(envelope)
        envelope.sign(key)
        sent = await self.server.send_transaction(envelope)
        async with asyncio.timeout(30):
            found = await self.server.get_transaction(sent.hash)
            while found.status is GetTransactionStatus.NOT_FOUND:
                await asyncio.sleep(0.2)
                found = await self.server.get_transaction(sent.hash)
        assert found.status is GetTransactionStatus.SUCCESS


async def fund(localnet: Localnet, *keys: Keypair) -> None:
    """Give accounts XLM."""
    async with aiohttp.ClientSession() as http:
        for key in keys:
            async with http.get(localnet.friendbot_url, params={"addr": key.public_key}) as answer:
                assert answer.status == 200, await answer.text()


@asynccontextmanager
async def farming(folder: Path, localnet: Localnet, farmer: Keypair) -> AsyncIterator[Path]:
    """Runs homestead for one farmer; yields the file with what it says."""
    settings = {
        "farmers": [{"secret": farmer.secret, "stake": 0, "difficulty": 2, "minWorkTime": 0}],
        "harvester": {"retryCount": 3},
        "miner": {
            "executable": str(folder / "miner"),
            "difficulty": 2,
            "nonce": 0,
            "gpu": False,
            "maxThreads": 1,
            "batchSize": 100_000,
            "verbose": False,
            "device": 0,
        },
        "stellar": {
            "rpc": localnet.rpc_url,
            "contract": LOCALNET.farm,
            "networkPassphrase": LOCALNET.passphrase,
            "fees": 10_000_000,
        },
    }
    config, said = folder / "localnet.json", folder / "said.txt"
    config.write_text(json.dumps(settings))
    with said.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *("node", "app.js"),
            cwd=folder / "homestead",
            env={**os.environ, "CONFIG": str(config), "PORT": "0"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield said
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 10)


async def balance(server: SorobanServerAsync, address: str) -> int:
    """Stroops of KALE."""
    token = Asset(*LOCALNET.asset.split(":")).contract_id(LOCALNET.passphrase)
    builder = TransactionBuilder(
        await server.load_account(address), LOCALNET.passphrase
    ).append_invoke_contract_function_op(token, "balance", [scval.to_address(address)])
    answer = await server.simulate_transaction(builder.set_timeout(0).build())
    assert answer.results, answer.error
    found = scval.to_native(answer.results[0].xdr)
    assert isinstance(found, int)
    return found


async def test_it_plants_works_and_harvests(homestead: Path) -> None:
    """Its SDK does not read what a transaction did since protocol 23; it looks at the farm then."""
    farmer = Keypair.random()
    async with (
        localnet_process(block_seconds=_BLOCK_SECONDS) as localnet,
        SorobanServerAsync(localnet.rpc_url) as server,
    ):
        neighbour = Neighbour(server)
        await fund(localnet, farmer, neighbour.key)
        await neighbour.trust(farmer)
        # homestead takes no block for that with the index 0.
        await asyncio.sleep(_BLOCK_SECONDS + 1)
        await neighbour.open_block()
        async with farming(homestead, localnet, farmer) as said, asyncio.timeout(_PATIENCE):
            earned = 0
            while not earned:
                await asyncio.sleep(_BLOCK_SECONDS + 2)
                await neighbour.open_block()
                earned = await balance(server, farmer.public_key)
        # The neighbour only planted: who works gets all of the block.
        assert earned % 25_050_000_000 == 0, said.read_text()
