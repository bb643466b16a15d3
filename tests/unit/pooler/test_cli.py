"""`python -m pooler` as people and programs start it."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest

from pooler.command import _lines
from tests.support.fake_pool import FakePool, FakeServer, open_fake
from tests.support.token_port import TokenPort, open_token_port

KEY = "G" + "A" * 55


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    """A served pool."""
    async with open_fake(FakePool()) as running:
        yield running


async def start(*options: str, environment: dict[str, str] | None = None) -> Process:
    """The command; it minds signals also where the tests run in the background, with Ctrl-C ignored
    by them and by all that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pooler",
        *options,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "POOLER_TRANSPORT": "plaintext", **(environment or {})},
    )


def environment(server: FakeServer | TokenPort) -> dict[str, str]:
    """A small pooler, by the environment."""
    return {
        **{f"POOLER_{name.upper()}_TARGET": at for name, at in asdict(server.targets).items()},
        "POOLER_PUBLIC_KEY": KEY,
        "POOLER_FARMERS": "2",
        "POOLER_THREADS": "1",
        "POOLER_CLOSING_SECONDS": "0",
    }


async def test_json_is_one_event_per_line_and_a_summary(server: FakeServer) -> None:
    pooler = await start("--json", "--blocks", "1", environment=environment(server))
    output, errors = await asyncio.wait_for(pooler.communicate(), timeout=300)
    assert (pooler.returncode, errors) == (0, b"")
    events = [json.loads(line) for line in output.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["deciding", "registered"]
    assert {"planted", "mining", "worked", "harvested", "swept"} <= set(kinds)
    assert kinds[-1] == "run_summary"
    assert (events[-1]["harvested"], len(events[-1]["blocks"])) == (2, 1)


async def test_text_is_for_people(server: FakeServer) -> None:
    pooler = await start("--blocks", "1", environment=environment(server))
    output, _ = await asyncio.wait_for(pooler.communicate(), timeout=300)
    assert pooler.returncode == 0
    lines = output.decode().splitlines()
    assert any("planted 2 of 2, 0.2000000 KALE staked" in line for line in lines)
    assert any("mined" in line and "million a second" in line for line in lines)
    assert lines[-1].startswith("1 blocks farmed: 3 planted, 3 worked, 2 harvested")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly(server: FakeServer, number: signal.Signals) -> None:
    pooler = await start("--json", environment=environment(server))
    assert pooler.stdout is not None
    async for line in pooler.stdout:
        if b'"mining"' in line:
            break
    pooler.send_signal(number)
    _, errors = await asyncio.wait_for(pooler.communicate(), timeout=10)
    assert (pooler.returncode, errors) == (130, b"")


async def test_a_pooler_with_an_api_token_farms_without_a_certificate(tmp_path: Path) -> None:
    async with open_token_port(FakePool(), tmp_path) as port:
        assert port.files is not None
        files = ("--token-file", str(port.files.token), "--tls-ca-file", str(port.files.authority))
        pooler = await start("--json", "--blocks", "1", *files, environment=environment(port))
        output, errors = await asyncio.wait_for(pooler.communicate(), timeout=300)
    assert (pooler.returncode, errors) == (0, b"")
    assert json.loads(output.splitlines()[-1])["harvested"] == 2
    assert port.exchanges >= 1


async def test_a_token_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    lines = {
        ("--token-file", "/nowhere"): b"give --tls-ca-file",
        ("--token-file", "/nowhere", "--tls-ca-file", "/nowhere"): b"/nowhere: No such file",
    }
    for options, said in lines.items():
        pooler = await start("--public-key", KEY, *options)
        _, errors = await pooler.communicate()
        assert pooler.returncode == 2
        assert said in errors


async def test_without_a_pooler_it_says_what_is_missing() -> None:
    pooler = await start()
    _, errors = await pooler.communicate()
    assert pooler.returncode == 2
    assert b"--public-key or --id" in errors


async def test_help_names_every_variable() -> None:
    pooler = await start("--help", environment={"COLUMNS": "200"})
    output, _ = await pooler.communicate()
    assert pooler.returncode == 0
    for name in ("POOLER_ID", "POOLER_BLOCKS", "POOLER_JSON", "POOLER_WALLET_TARGET"):
        assert name.encode() in output


async def test_what_cannot_mine_is_told_at_once(server: FakeServer) -> None:
    told = {
        "POOLER_ENGINES": ("magic", b"engines: there is no magic"),
        "POOLER_PROGRAM": ("/no/such {zeros}", b"program: '/no/such' is no program"),
    }
    for name, (value, said) in told.items():
        pooler = await start("--blocks", "1", environment={**environment(server), name: value})
        _, errors = await asyncio.wait_for(pooler.communicate(), timeout=300)
        assert pooler.returncode == 2
        assert said in errors


def test_a_variable_has_a_program_in_each_line() -> None:
    assert _lines(str, "kale-miner=/a --gpu\n/b {zeros}", delimiter=None) == [
        "kale-miner=/a --gpu",
        "/b {zeros}",
    ]
