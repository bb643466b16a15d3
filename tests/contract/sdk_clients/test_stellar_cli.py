"""The unmodified stellar CLI farms on localnet, where it is installed.

It is `stellar` on PATH: `cargo install --locked stellar-cli` makes it in some minutes.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import Asset, Keypair, scval, xdr
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.kale.hash import leading_zeros, work_hash
from libs.kale.networks import LOCALNET
from tests.support.localnet_process import Localnet, localnet_process

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which("stellar") is None,
        reason="the stellar CLI is not installed: cargo install --locked stellar-cli",
    ),
]
#: Seconds for one command; it waits for its transaction.
_PATIENCE = 60.0
#: Name of the network, and of the farmer, in the CLI's settings.
_NETWORK, _FARMER = "here", "alice"
_CODE, _ISSUER = LOCALNET.asset.split(":")
_BLOCK_REWARD = 25_050_000_000
#: Seconds of a block: a command takes some, and a plant has to be in the block it was made for.
_BLOCK_SECONDS = 15


class Cli:
    """The command with settings of its own."""

    def __init__(self, folder: Path) -> None:
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_HOME": str(folder / "data"),
            "STELLAR_NO_UPDATE_CHECK": "1",
        }

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run it; return (exit status, output, what it says beside)."""
        process = await asyncio.create_subprocess_exec(
            "stellar",
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), _PATIENCE)
        assert process.returncode is not None
        return process.returncode, out.decode().strip(), err.decode()

    async def __call__(self, *arguments: str) -> str:
        """Run it on the network; return its output, or fail with all that it said."""
        status, out, err = await self.run(*arguments, "--network", _NETWORK)
        assert status == 0, (arguments, out, err)
        return out

    async def invoke(self, contract: str, *call: str) -> str:
        """Have the farmer call a contract."""
        before = ("contract", "invoke", "--network", _NETWORK, "--source", _FARMER)
        status, out, err = await self.run(*before, "--id", contract, "--", *call)
        assert status == 0, (call, out, err)
        return out

    async def refusal(self, contract: str, *call: str) -> str:
        """What it says when a call fails."""
        before = ("contract", "invoke", "--network", _NETWORK, "--source", _FARMER)
        status, _, err = await self.run(*before, "--id", contract, "--", *call)
        assert status != 0
        return err


@pytest.fixture
async def localnet() -> AsyncIterator[Localnet]:
    """A fresh one."""
    async with localnet_process(block_seconds=_BLOCK_SECONDS) as running:
        yield running


@pytest.fixture
async def cli(tmp_path: Path, localnet: Localnet) -> Cli:
    """The CLI, with the network and a farmer who has XLM."""
    found = Cli(tmp_path)
    address = ("--rpc-url", localnet.rpc_url, "--network-passphrase", LOCALNET.passphrase)
    assert (await found.run("network", "add", _NETWORK, *address))[0] == 0
    await found("keys", "generate", _FARMER, "--fund")
    return found


async def stored(cli: Cli, *key: xdr.SCVal) -> dict[str, Any]:
    """Read an entry of the farm."""
    wanted = ("--key-xdr", scval.to_vec(list(key)).to_xdr(), "--durability", "temporary")
    told = await cli("contract", "read", "--id", LOCALNET.farm, *wanted, "--output", "xdr")
    fields = scval.to_native(told.split(",")[1])
    assert isinstance(fields, dict)
    return fields


async def running(cli: Cli) -> int:
    """Read the index of the farm's running block."""
    entry = ("ledger", "entry", "fetch", "contract-data", "--contract", LOCALNET.farm)
    told = json.loads(await cli(*entry, "--instance"))
    instance = told["entries"][0]["val"]["contract_data"]["val"]["contract_instance"]
    fields = {pair["key"]["vec"][0]["symbol"]: pair["val"] for pair in instance["storage"]}
    return int(fields.get("FarmIndex", {"u32": 0})["u32"])


def nonce_of(index: int, entropy: bytes, farmer: str) -> tuple[int, bytes]:
    """Find a nonce whose hash begins with a zero."""
    key = Keypair.from_public_key(farmer).raw_public_key()
    nonce = 0
    while True:
        found = work_hash(index=index, nonce=nonce, entropy=entropy, farmer_key=key)
        if leading_zeros(found):
            return nonce, found
        nonce += 1


async def test_it_reads_what_the_farm_offers(cli: Cli, tmp_path: Path) -> None:
    told = json.loads(
        await cli("contract", "info", "interface", "--id", LOCALNET.farm, "--output", "json")
    )
    names = [entry["function_v0"]["name"] for entry in told if "function_v0" in entry]
    assert names[:3] == ["plant", "work", "harvest"]
    file = tmp_path / "farm.wasm"
    await cli("contract", "fetch", "--id", LOCALNET.farm, "--out-file", str(file))
    assert file.read_bytes().startswith(b"\0asm")
    assert "March 2025" in await cli("contract", "info", "meta", "--id", LOCALNET.farm)


async def test_it_farms_a_block(cli: Cli) -> None:
    farmer = (await cli.run("keys", "address", _FARMER))[1]
    line = f"{_CODE}:{_ISSUER}"
    await cli("tx", "new", "change-trust", "--source", _FARMER, "--line", line)
    # A plant opens the first block then, however long it takes.
    await asyncio.sleep(_BLOCK_SECONDS + 1)
    await cli.invoke(LOCALNET.farm, "plant", "--farmer", _FARMER, "--amount", "0")
    again = await cli.refusal(LOCALNET.farm, "plant", "--farmer", _FARMER, "--amount", "0")
    assert "Error(Contract, #8)" in again
    index = await running(cli)
    block = await stored(cli, scval.to_symbol("Block"), scval.to_uint32(index))
    nonce, found = nonce_of(index, block["entropy"], farmer)
    proof = ("--farmer", _FARMER, "--hash", found.hex(), "--nonce", str(nonce))
    gap = int(await cli.invoke(LOCALNET.farm, "work", *proof))
    pail = (scval.to_symbol("Pail"), scval.to_address(farmer), scval.to_uint32(index))
    assert (await stored(cli, *pail))["gap"] == gap
    await asyncio.sleep(_BLOCK_SECONDS + 1)
    await cli.invoke(LOCALNET.farm, "plant", "--farmer", _FARMER, "--amount", "0")
    told = await cli.invoke(LOCALNET.farm, "harvest", "--farmer", _FARMER, "--index", str(index))
    assert json.loads(told) == str(_BLOCK_REWARD)
    kale = Asset(_CODE, _ISSUER).contract_id(LOCALNET.passphrase)
    assert json.loads(await cli.invoke(kale, "balance", "--id", _FARMER)) == str(_BLOCK_REWARD)


async def test_it_deploys_asset_contracts(cli: Cli) -> None:
    farmer = (await cli.run("keys", "address", _FARMER))[1]
    for code in ("TOK", "LONGERTOKEN"):
        asset = f"{code}:{_FARMER}"
        deployed = await cli("contract", "asset", "deploy", "--source", _FARMER, "--asset", asset)
        assert deployed == Asset(code, farmer).contract_id(LOCALNET.passphrase)
        assert json.loads(await cli.invoke(deployed, "symbol")) == code
        await cli.invoke(deployed, "mint", "--to", LOCALNET.farm, "--amount", "7")
        assert json.loads(await cli.invoke(deployed, "balance", "--id", LOCALNET.farm)) == "7"
    native = Asset.native().contract_id(LOCALNET.passphrase)
    amount = 20_000_000
    new = Keypair.random().public_key
    call = ("transfer", "--from", _FARMER, "--to", new, "--amount", str(amount))
    await cli.invoke(native, *call)
    assert json.loads(await cli.invoke(native, "balance", "--id", new)) == str(amount)


async def test_it_reads_ledgers_and_what_is_in_them(cli: Cli, localnet: Localnet) -> None:
    """Every ledger in JSON, which the CLI parses by its own types."""
    await cli.invoke(LOCALNET.farm, "plant", "--farmer", _FARMER, "--amount", "0")
    async with SorobanServerAsync(localnet.rpc_url) as server:
        latest = (await server.get_latest_ledger()).sequence
    shown = json.loads(
        await cli("ledger", "fetch", "2", "--limit", str(latest - 2), "--output", "json")
    )
    headers = [ledger["headerJson"]["header"] for ledger in shown["ledgers"]]
    assert [header["ledger_seq"] for header in headers] == list(range(2, latest))
    assert all(header["scp_value"]["ext"]["signed"]["signature"] for header in headers)
    assert f"Ledger Sequence: {latest - 1}" in await cli("ledger", "fetch", str(latest - 1))
    events = ("events", "--start-ledger", "2", "--count", "5", "--output", "json")
    assert "contractId" in await cli(*events)
    assert "Healthy" in (await cli.run("network", "health", "--network", _NETWORK))[2]
