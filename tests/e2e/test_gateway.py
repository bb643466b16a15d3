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
from tests.support.documents import run_lines

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
async def test_what_the_document_tells_farms_a_block(stack: Stack) -> None:
    """Nothing is there but a token: pooler, farmer and nonces come from the document's lines."""
    variables = {"GATEWAY": stack.gateway_url, "TOKEN": await token_of(stack, "operator", "doc")}
    output = await run_lines("docs/http.md", variables, seconds=PATIENCE)
    operator = Curl(stack.gateway_url, variables["TOKEN"])
    (pooler,) = [one for one in (await operator("/v1/poolers"))["poolers"] if one["name"] == "mine"]
    lists = f"/v1/poolers/{pooler['poolerId']}"
    works = (await operator(f"{lists}/works"))["works"]
    assert [one["status"] for one in works] == ["WORK_STATUS_SUCCESS"] * 2, output
    paid = await operator.until(f"{lists}/harvests", lambda found: found["harvests"])
    (harvest,) = paid["harvests"]
    assert harvest["status"] == "HARVEST_STATUS_SUCCESS"
    assert int(harvest["rewardAmount"]) > 0
    assert harvest["blockIndex"] == min(one["blockIndex"] for one in works)


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
    again = await curl("/work", {**work, "requestId": "again"})
    assert (again["invalidNonces"], again["submittedWork"]) == (1, 0)
    assert [(one["nonce"], one["reason"]) for one in again["failures"]] == [
        ("123456789", "REPEATED_NONCE")
    ]
    await what_was_forgotten_is_named(stack.gateway_url, curl.token, work)
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


async def what_was_forgotten_is_named(url: str, token: str, work: dict[str, Any]) -> None:
    """A number that is not sent is no 0: nothing is planted, worked or harvested by it."""
    pooler, submissions = work["poolerId"], work["submissions"]
    without_nonce = [{"farmerId": submissions[0]["farmerId"]}]
    forgotten: list[tuple[str, dict[str, Any], str]] = [
        ("/plant", {}, "blockIndex"),
        ("/work", {"submissions": submissions}, "blockIndex"),
        ("/work", {"blockIndex": 0, "submissions": without_nonce}, "submissions[0].nonce"),
        ("/harvest", {}, "blockIndex"),
    ]
    seeds = {"/plant": "/v1/plants", "/work": "/v1/works", "/harvest": "/v1/harvests"}
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {token}"}
        for seed, body, field in forgotten:
            for path in (seed, seeds[seed]):
                sent = {"poolerId": pooler, **body}
                refused = await http.post(path, json=sent, headers=headers)
                assert (refused.status_code, refused.json()["violations"]) == (
                    400,
                    [{"field": field, "description": "is required"}],
                )


class Patient:
    """A caller by HTTP who repeats each request, by the same name, until the gateway answers."""

    def __init__(self, stack: Stack, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=stack.gateway_url,
            trust_env=False,
            timeout=PATIENCE,
            headers={"Authorization": f"Bearer {token}"},
        )
        #: Requests that broke off after they were sent.
        self.cut_off = 0

    async def post(self, path: str, body: object, *, name: str) -> Any:
        """What a path answers."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await self._http.post(
                        path, json=body, headers={"Idempotency-Key": name}
                    )
                except httpx.HTTPError as error:
                    self.cut_off += not isinstance(error, httpx.ConnectError)
                    await asyncio.sleep(0.05)
                    continue
                assert answer.status_code == 200, answer.text
                return answer.json()

    async def get(self, path: str) -> Any:
        """What a path answers, as long as nothing is killed."""
        answer = await self._http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until(self, path: str, reached: Any) -> Any:
        """What a path answers once something is reached."""
        async with asyncio.timeout(PATIENCE):
            while not reached(found := await self.get(path)):  # noqa: ASYNC110
                await asyncio.sleep(0.3)
        return found


async def kill_again_and_again(stack: Stack, caller: Patient) -> None:
    """Kill the gateway three times, and until three requests were cut off at least."""
    kills = 0
    while kills < 3 or caller.cut_off < 3:
        await asyncio.sleep(0.2)
        await stack.restart("gateway", number=signal.SIGKILL)
        kills += 1


async def read_blocks(stack: Stack, seen: list[int]) -> None:
    """Follow blocks, and go on after the last one whenever the stream is cut off."""
    last: dict[str, str] = {}
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=PATIENCE) as http:
        while True:
            try:
                async with http.stream("GET", "/v1/blocks:watch", headers=last) as stream:
                    async for line in stream.aiter_lines():
                        if line.startswith("id: "):
                            last["Last-Event-ID"] = line.removeprefix("id: ")
                            seen.append(int(line.removeprefix("id: ").partition(".")[0]))
            except httpx.HTTPError:
                await asyncio.sleep(0.05)


async def test_a_gateway_that_is_killed_loses_and_doubles_nothing(stack: Stack) -> None:
    operator = Patient(stack, await token_of(stack, "operator"))
    key = Keypair.random().public_key
    made = await operator.post("/v1/poolers", {"name": "kills", "publicKey": key}, name="kills")
    pooler_id = made["pooler"]["poolerId"]
    caller = Patient(stack, await token_of(stack, "pooler", pooler_id))
    seen: list[int] = []
    reading = asyncio.create_task(read_blocks(stack, seen))

    # In the middle of registrations, which go on until the last kill.
    killing = asyncio.create_task(kill_again_and_again(stack, caller))
    farmers: dict[str, str] = {}

    async def register(first: int) -> None:
        number = first
        while number < 4 + first or not killing.done():
            body = {"poolerId": pooler_id, "stakePercentage": "0.5"}
            answer = await caller.post("/v1/farmers", body, name=f"farmer-{number}")
            farmers[f"farmer-{number}"] = answer["farmerId"]
            number += 1
            await asyncio.sleep(0.02)

    await asyncio.gather(*(register(1000 * lane) for lane in range(4)), killing)
    assert caller.cut_off >= 3
    listed = await caller.get(f"/v1/poolers/{pooler_id}/farmers?pageSize=1000")
    ids = [farmer["farmerId"] for farmer in listed["farmers"]]
    assert sorted(ids) == sorted(farmers.values())
    assert len(set(ids)) == len(ids)

    # In the middle of a plant of them all.
    def are_funded(found: Any) -> bool:
        return all(farmer["isFunded"] for farmer in found["farmers"])

    await caller.until(f"/v1/poolers/{pooler_id}/farmers?pageSize=1000", are_funded)
    index = (await caller.get("/v1/blocks:current"))["head"]["plantableBlock"]
    plant = {"poolerId": pooler_id, "blockIndex": index}
    planting = asyncio.create_task(caller.post("/v1/plants", plant, name="plant"))
    before = caller.cut_off
    await asyncio.sleep(0.2)
    await stack.end("gateway", number=signal.SIGKILL)
    await stack.begin("gateway")
    planted = await planting
    assert caller.cut_off > before
    assert planted["totalRequested"] == planted["successfulPlants"] == len(ids)
    listed = await caller.get(f"/v1/poolers/{pooler_id}/plants?blockIndex={index}&pageSize=1000")
    tried = [one["farmerId"] for one in listed["plantings"]]
    assert sorted(tried) == sorted(ids), "somebody was planted twice, or not at all"

    # The stream has told of the block, and of none before one that it had told of.
    async with asyncio.timeout(PATIENCE):
        while index not in seen:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert seen == sorted(seen)


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
