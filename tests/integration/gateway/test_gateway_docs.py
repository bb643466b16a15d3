"""The lines of docs/http.md work as they stand there."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest
from kalepool.wallet.v1 import wallet_pb2

from libs.common.grpc.identity import CallerKind, parse_identity
from services.access import ACCESS
from tests.support.fake_backends import FARMER, OPERATOR_TOKEN, POOLER
from tests.support.fake_chain import Chain
from tests.support.gateway_world import GatewayWorld

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_every_line_for_a_shell_works(world: GatewayWorld) -> None:
    world.pool.answers["WatchBlocks"] = Chain().watch
    world.pool.answers["GetBlock"] = lambda _: wallet_pb2.GetBlockResponse()
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAY": f"http://127.0.0.1:{world.port}",
        "TOKEN": OPERATOR_TOKEN,
        "POOLER": POOLER,
        "FARMER": FARMER,
        "BLOCK": "4",
        "no_proxy": "127.0.0.1",
    }
    script = "set -eu\n" + "".join(BLOCKS)
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, output.decode() + errors.decode()
    assert output.count(b"id: 5.100") == 2
    called = {call.method.rpartition("/")[2] for call in world.pool.calls}
    assert called == {
        *("ExchangeToken", "GetInfo", "GetBlock", "WatchBlocks", "ListPoolers"),
        *("RegisterFarmer", "Plant", "SubmitWork", "Harvest"),
    }
    # Each line has a token that may do what the line shows, as the table of access says.
    for call in world.pool.calls:
        entry, caller = ACCESS[call.method], parse_identity(call.identity, trust_domain="kalepool")
        assert entry.admits(caller), call.method
        assert entry.by_token or caller.kind is CallerKind.SERVICE, call.method
    register = world.pool.asked("RegisterFarmer")[0].request
    assert (register.request_id, register.stake_percentage) == ("first-farmer", "0.5")
    assert world.pool.asked("Plant")[1].request.max_farmers_capacity == 100
