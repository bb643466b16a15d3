"""kalepool as people and programs start it, against the real registry."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf import json_format
from kalepool.registry.v1 import registry_pb2
from stellar_sdk import Keypair

from devstack.ports import free_ports
from tests.support.database import DatabaseAccess
from tests.support.registry_world import RegistryWorld, open_registry_world

KEY = Keypair.from_raw_ed25519_seed(bytes(32)).public_key
NOBODY = "0190a5f0-0000-7000-8000-000000000001"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended."""

    #: Exit status.
    status: int
    #: Standard output.
    output: str
    #: Standard error.
    errors: str

    def json(self) -> Any:
        """The one line of JSON that it wrote; it went well and said nothing else."""
        assert (self.status, self.errors, self.output.count("\n")) == (0, "", 1)
        return json.loads(self.output)


Command = Callable[..., Any]


@pytest.fixture
async def world(database: DatabaseAccess) -> AsyncIterator[RegistryWorld]:
    """A registry whose peers, wallet excepted, are away."""
    ports = free_ports(4)
    away = {
        f"{name}_target": f"127.0.0.1:{port}"
        for name, port in zip(("registry", "plant", "work", "harvest"), ports, strict=True)
    }
    async with open_registry_world(database, **away) as running:
        yield running


@pytest.fixture
def kalepool(world: RegistryWorld) -> Command:
    """Runs the command with registry's and wallet's targets in the environment."""
    (nowhere,) = free_ports(1)
    targets = {
        **{f"{name}_TARGET": f"127.0.0.1:{nowhere}" for name in ("PLANT", "WORK", "HARVEST")},
        "TRANSPORT": "plaintext",
        "REGISTRY_TARGET": world.target,
        "WALLET_TARGET": world.wallet.target,
    }

    async def run(*arguments: str, stdin: bytes = b"") -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli",
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={**os.environ, **targets},
        )
        output, errors = await asyncio.wait_for(process.communicate(stdin), timeout=30)
        return Ended(status=process.returncode or 0, output=output.decode(), errors=errors.decode())

    return run


async def test_a_pool_is_set_up(world: RegistryWorld, kalepool: Command) -> None:
    registered = (
        await kalepool("pooler", "register", "--name", "nörth", "--public-key", KEY, "--json")
    ).json()
    pooler = await world.read_pooler(registered["poolerId"])
    assert json_format.ParseDict(registered, registry_pb2.Pooler()) == pooler
    assert (registered["name"], registered["currentFarmers"]) == ("nörth", 0)

    line = ("farmer", "register", "--pooler", pooler.pooler_id, "--stake-percentage", "0.5")
    farmer = (await kalepool(*line, "--metadata", "-", "--json", stdin=b'{"name": "A"}')).json()
    assert (farmer["status"], farmer["currentBalance"]) == ("FARMER_STATUS_ACTIVE", "0")
    known = await world.read_farmer(farmer["farmerId"])
    assert (known.stake_percentage, known.metadata["name"]) == ("0.5", "A")

    shown = await kalepool("farmer", "list", "--pooler", pooler.pooler_id)
    assert (shown.status, shown.errors) == (0, "")
    for text in (known.farmer_id, known.custodial_wallet, "active", "0.0000000 KALE", "no"):
        assert text in shown.output


async def test_lists_walk_through_pages(world: RegistryWorld, kalepool: Command) -> None:
    made = [(await world.pooler(name=f"[b]{number}[/b]")).pooler_id for number in range(3)]
    listed = (await kalepool("--json", "pooler", "list", "--limit", "0")).json()
    assert [pooler["poolerId"] for pooler in listed["poolers"]] == made
    assert listed["nextPageToken"] == ""
    short = await kalepool("pooler", "list", "--limit", "2")
    assert made[1] in short.output
    assert made[2] not in short.output
    assert "[b]0[/b]" in short.output
    assert short.errors == "kalepool: the first 2 only; --limit 0 shows all\n"


async def test_a_repeat_by_request_id_gives_the_first_answer(
    world: RegistryWorld, kalepool: Command
) -> None:
    pooler_id = (await world.pooler()).pooler_id
    line = ("farmer", "register", "--pooler", pooler_id, "--json")
    await world.wallet.stop()
    refused = await kalepool(*line)
    assert (refused.status, refused.output) == (1, "")
    # The command made the request id, and says how to go on with it.
    again = refused.errors.strip().removesuffix(")").split()[-2:]
    assert again[0] == "--request-id"
    await world.wallet.start()
    while (reply := await kalepool(*line, *again)).status:
        assert "UNAVAILABLE" in reply.errors
    assert (await world.read_pooler(pooler_id)).current_farmers == 1
    assert list(world.wallet.calls) == [reply.json()["farmerId"]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"pooler show {NOBODY}", f"POOLER_NOT_FOUND: no pooler {NOBODY}"),
        ("pooler show x", "INVALID_REQUEST: pooler_id must be a UUID"),
        (
            "pooler register --name= --public-key G --max-farmers 1001",
            "INVALID_REQUEST: name is required; public_key must be the address of a Stellar "
            "account (G...); max_farmers must be from 1 to 1000, not 1001",
        ),
        (f"plantings --pooler {NOBODY}", "UNAVAILABLE: failed to connect"),
    ],
)
async def test_errors_are_one_line(kalepool: Command, line: str, expected: str) -> None:
    ended = await kalepool(*line.split())
    assert (ended.status, ended.output) == (1, "")
    assert ended.errors.startswith(f"kalepool: {expected}")
    assert ended.errors.count("\n") == 1


async def test_status_and_info_of_a_pool_that_is_half_away(
    world: RegistryWorld, kalepool: Command
) -> None:
    status = await kalepool("status", "--json")
    found = json.loads(status.output)
    # registry itself is not at its own target here: only wallet serves, so it is "unhealthy".
    assert (status.status, found["status"]) == (1, "POOL_HEALTH_UNHEALTHY")
    assert found["services"] == {
        "registry": False,
        "wallet": True,
        "plant": False,
        "work": False,
        "harvest": False,
    }
    table = await kalepool("status")
    assert table.status == 1
    assert "unhealthy" in table.output
    info = await kalepool("info", "--json")
    found = json.loads(info.output)
    assert info.status == 1
    assert found["registry"]["network"]["type"] == "localnet"
    assert found["registry"]["limits"]["maxFarmers"] == 1000
    # The fake wallet serves no Info.
    assert [found[name] for name in ("wallet", "plant", "work", "harvest")] == [None] * 4
    table = await kalepool("info")
    assert table.output.count("away") == 4
