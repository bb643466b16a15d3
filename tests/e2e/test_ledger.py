"""The pool's ledger over real processes: plants, harvests, a withdrawal; it equals the chain."""

import asyncio
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devstack.chain_view import read_chain
from devstack.check import settled_verdict
from devstack.farming import farm
from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from libs.common.grpc.identity import CallerKind
from libs.common.names import SERVICES
from pooler.report import TextReport

pytestmark = pytest.mark.e2e

#: Stroops that one farmer sends to another one's account: for the ledger that is outside.
SENT = 5 * 10**7


async def kalepool(stack: Stack, *arguments: str) -> dict[str, Any]:
    """What the operators' command says as JSON."""
    files = stack.certificates(CallerKind.OPERATOR, OPERATOR).environment
    targets = {f"{name.upper()}_TARGET": stack.target(name) for name in SERVICES}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments, "--json"),
        env={**files, **targets, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    told: dict[str, Any] = json.loads(output)
    return told


def kinds(told: Mapping[str, Any]) -> set[str]:
    """The kinds of a farmer's journals."""
    return {one["kind"].removeprefix("JOURNAL_KIND_") for one in told["journals"]}


async def test_the_ledger_is_what_the_chain_has(tmp_path: Path) -> None:
    config = StackConfig(
        directory=tmp_path / "stack",
        ledger_seconds=0.5,
        block_seconds=24,
        environment={"wallet": {"WITHDRAW_COOLING_MS": "1"}},
    )
    async with open_stack(config) as stack:
        result = await farm(stack, 3, 1, TextReport(), print)
        assert result.verdict.equal, result.verdict.differences
        giver, taker, _ = result.verdict.farmers
        name = str(giver.farmer_id)
        await kalepool(stack, "farmer", "update", name, "--payout-wallet-address", taker.address)
        sent = await kalepool(stack, "withdrawal", "send", name, "--amount", str(SENT // 10**7))
        assert sent["operation"]["state"] == "OPERATION_STATE_SUCCEEDED"
        funded = {one.address: one.funded for one in result.verdict.farmers}
        funded[giver.address] -= SENT
        funded[taker.address] += SENT
        verdict = await settled_verdict(stack, funded, partial(read_chain, stack.rpc_url))
        assert verdict.equal, verdict.differences
        check = await kalepool(stack, "ledger", "check")
        assert (check["differences"], check["overdrawn"], check["unexplained"]) == ([], [], [])
        told = await kalepool(stack, "ledger", "show", name)
        assert kinds(told) == {"DEPOSIT", "PLANT", "HARVEST", "WITHDRAWAL", "PAYOUT"}
        told = await kalepool(stack, "ledger", "show", str(taker.farmer_id))
        assert [one["kind"] for one in told["journals"]].count("JOURNAL_KIND_DEPOSIT") == 2
        assert (await kalepool(stack, "ledger", "status"))["warnings"] == []
        stack.check()
