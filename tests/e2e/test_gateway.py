"""The gateway before a whole pool: read, followed, killed, and a block farmed with curl alone."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from stellar_sdk import Keypair

from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from libs.common.grpc.identity import CallerKind

pytestmark = pytest.mark.e2e

#: Seconds within which anything has to happen.
PATIENCE = 120.0


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A pool with a gateway."""
    folder = tmp_path_factory.mktemp("gateway")
    config = StackConfig(
        directory=folder / "stack", ledger_seconds=0.5, block_seconds=20, gateway=True
    )
    async with open_stack(config) as running:
        yield running
        running.check()


async def test_everybody_may_read_what_is_public(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.gateway_url, trust_env=False) as http:
        health = (await http.get("/health")).json()
        assert (health["status"], all(health["services"].values())) == ("healthy", True)
        info = (await http.get("/info")).json()
        assert info["network"]["type"] == "localnet"
        assert (await http.get("/v1/status")).json()["status"] == "POOL_HEALTH_HEALTHY"
        head = (await http.get("/v1/blocks:current")).json()["head"]
        assert head["ledger"] > 0
        assert (await http.get("/openapi.json")).json()["openapi"] == "3.1.0"
        assert (await http.get("/docs")).status_code == 200
        assert (await http.get("/v1/poolers")).status_code == 401


async def test_a_stream_goes_on_where_it_was_when_the_gateway_was_killed(stack: Stack) -> None:
    url = stack.gateway_url
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=None) as http:  # noqa: S113
        ids: list[str] = []
        with pytest.raises(httpx.HTTPError):
            async with asyncio.timeout(PATIENCE), http.stream("GET", "/v1/blocks:watch") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("id: "):
                        ids.append(line.removeprefix("id: "))
                        await stack.end("gateway", number=signal.SIGKILL)
        await stack.begin("gateway")
        await stack.wait_ready("gateway")
        last = {"Last-Event-ID": ids[-1]}
        async with (
            asyncio.timeout(PATIENCE),
            http.stream("GET", "/v1/blocks:watch", headers=last) as stream,
        ):
            async for line in stream.aiter_lines():
                if line.startswith("id: "):
                    assert [int(part) for part in line.removeprefix("id: ").split(".")] >= [
                        int(part) for part in ids[-1].split(".")
                    ]
                    break


async def token_of(stack: Stack, *arguments: str) -> str:
    """A token that the operators' command makes."""
    files = stack.certificates(CallerKind.OPERATOR, OPERATOR).environment
    environment = {**files, "WALLET_TARGET": stack.target("wallet")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "token", "create", *arguments, "--json"),
        env={**environment, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode == 2 or b"UNIMPLEMENTED" in errors:
        pytest.skip("this pool makes no tokens")
    assert process.returncode == 0, errors.decode()
    token: str = json.loads(output)["token"]
    return token


class Curl:
    """curl with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    async def __call__(self, path: str, body: object = None) -> Any:
        command = ["curl", "--silent", "--show-error", "--fail-with-body"]
        command += ["--header", f"Authorization: Bearer {self.token}", f"{self.url}{path}"]
        if body is not None:
            command += ["--header", "Content-Type: application/json", "--data", json.dumps(body)]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, (path, output.decode(), errors.decode())
        return json.loads(output)

    async def until(self, path: str, reached: Any) -> Any:
        """What a path answers once something is reached."""
        async with asyncio.timeout(PATIENCE):
            while not reached(found := await self(path)):  # noqa: ASYNC110
                await asyncio.sleep(0.3)
        return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_a_whole_block_is_farmed_with_curl_alone(stack: Stack) -> None:
    operator = Curl(stack.gateway_url, await token_of(stack, "operator"))
    key = Keypair.random().public_key
    registered = await operator("/v1/poolers", {"name": "curl", "publicKey": key})
    pooler_id = registered["pooler"]["poolerId"]
    curl = Curl(stack.gateway_url, await token_of(stack, "pooler", pooler_id))

    farmer = await curl("/farmers/register", {"poolerId": pooler_id, "stakePercentage": 0.8})
    assert (farmer["status"], farmer["currentBalance"]) == ("active", "0")
    farmer_id = farmer["farmerId"]
    await curl.until(f"/v1/farmers/{farmer_id}", lambda found: found["farmer"]["isFunded"])

    async def plant() -> int:
        current = await curl("/v1/blocks:current")
        index: int = current["head"]["plantableBlock"]
        planted = await curl("/plant", {"poolerId": pooler_id, "blockIndex": index})
        assert (planted["successfulPlants"], planted["failedPlants"]) == (1, 0), planted
        return index

    index = await plant()
    submission = {"farmerId": farmer_id, "nonce": "123456789", "timestamp": 0}
    work = {"poolerId": pooler_id, "blockIndex": index, "submissions": [submission]}
    worked = await curl("/work", work)
    assert (worked["validNonces"], worked["submittedWork"]) == (1, 1), worked
    await curl.until("/v1/blocks:current", lambda found: found["head"]["plantableBlock"] > index)
    await plant()  # opens the next block
    harvested = await curl("/harvest", {"poolerId": pooler_id, "blockIndex": index})
    assert harvested["successfulHarvests"] == 1, harvested
    balance = await curl(f"/v1/farmers/{farmer_id}/balance")
    assert balance["currentBalance"] == harvested["totalRewards"] != "0"
    listed = await curl(f"/v1/poolers/{pooler_id}/harvests?blockIndex={index}")
    assert [one["farmerId"] for one in listed["harvests"]] == [farmer_id]
    # Another pooler's things are nobody else's.
    key = Keypair.random().public_key
    other = await operator("/v1/poolers", {"name": "x", "publicKey": key})
    async with httpx.AsyncClient(base_url=stack.gateway_url, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {curl.token}"}
        path = f"/v1/poolers/{other['pooler']['poolerId']}/farmers"
        assert (await http.get(path, headers=headers)).status_code == 403


async def test_the_gateway_stops_in_order(stack: Stack) -> None:
    await stack.end("gateway", number=signal.SIGTERM)
    log = (stack.config.directory / "logs" / "gateway.log").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in log.splitlines()]
    assert lines[-1]["event"] == "stopped"
    assert not [line for line in lines if line["level"] in {"error", "critical"}]
    await stack.begin("gateway")
    await stack.wait_ready("gateway")


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway"],
        env={"PYTHONPATH": ":".join(sys.path), "MAX_BODY_BYTES": "x", "TRANSPORT": "plaintext"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "MAX_BODY_BYTES" in done.stderr
