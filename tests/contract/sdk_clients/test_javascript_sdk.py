"""The unmodified JavaScript SDK farms on localnet: see js/client.mjs and js/contract.mjs."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libs.kale.networks import LOCALNET

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.e2e

CLIENT = Path(__file__).parent / "js"
#: The SDK that is pinned wants this version of Node.js.
OLDEST_NODE = 20


async def output_of(command: "Sequence[str]", folder: Path, seconds: float) -> str:
    """Runs a command; fails with all that it said when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode == 0, (out + err).decode()
    return out.decode()


@pytest.fixture
async def client(tmp_path: Path) -> Path:
    """The client with what it needs installed, in a folder of its own."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Node.js")
        pytest.skip("Node.js is not installed")
    version = await output_of(["node", "--version"], tmp_path, 20)
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"Node.js {version.strip()} is too old")
    for name in ("client.mjs", "contract.mjs", "package.json", "package-lock.json", ".npmrc"):
        shutil.copy(CLIENT / name, tmp_path)
    await output_of(["npm", "ci", "--no-audit", "--no-fund"], tmp_path, 240)
    return tmp_path


async def told_by(program: str, client: Path, localnet: Any) -> dict[str, Any]:
    """What one of the programs prints at its end."""
    printed = await output_of(
        [
            "node",
            program,
            localnet.rpc_url,
            localnet.friendbot_url,
            LOCALNET.farm,
            LOCALNET.asset,
            LOCALNET.passphrase,
            str(localnet.block_seconds),
        ],
        client,
        120,
    )
    told: dict[str, Any] = json.loads(printed)
    return told


async def test_it_funds_itself_plants_works_and_harvests(client: Path, localnet: Any) -> None:
    told = await told_by("client.mjs", client, localnet)
    assert told["gap"] == told["workedIn"] - told["plantedIn"] >= 1
    assert told["zeros"] >= 1
    # The only farmer of its block gets all of it.
    assert told["reward"] == told["balance"] == "25050000000"


async def test_its_contract_client_farms_by_what_the_code_tells(
    client: Path, localnet: Any
) -> None:
    told = await told_by("contract.mjs", client, localnet)
    assert told["valid"]
    assert told["exports"] == told["functions"]
    assert {"plant", "work", "harvest"} <= set(told["functions"])
    assert told["errors"][7] == "PailExists"
    assert told["again"].startswith("HostError: Error(Contract, #8)")
    assert told["gap"] >= 1
    assert told["reward"] == told["balance"] == "25050000000"
