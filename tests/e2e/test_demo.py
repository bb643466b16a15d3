"""The whole pool as real processes: it ends equal, leaves nothing, and survives every restart."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from demo.run import DIRECTORY
from devstack.stack import StackConfig
from libs.common.names import SERVICES
from tests.support.breaking import farm_while

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
#: Seconds between two restarts of a service in the middle of a run.
BETWEEN_RESTARTS = 4.0


def demo(*arguments: str) -> "subprocess.Popen[str]":
    """Starts python -m demo in the project's root."""
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition: Iterator[bool], seconds: float) -> None:
    """Until an iterator says True."""
    deadline = time.monotonic() + seconds
    for reached in condition:
        if reached:
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_demo_ends_equal_and_ctrl_c_leaves_nothing() -> None:
    process = demo("run", "--farmers", "4", "--blocks", "1")
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    summary = json.loads((ROOT / DIRECTORY / "summary.json").read_text(encoding="utf-8"))
    assert (summary["equal"], summary["all_farmed"]) == (True, True)
    # Four plants, works and harvests, and the plant and work that close the block.
    assert summary["compared"] >= 14
    assert all(int(row["reward"]) > 0 for row in summary["rows"])
    # Statements prove themselves: a farmer's plant and harvest, and what it farmed besides; the
    # pooler's fees and its payment; the miner's payment.
    statements = summary["statements"]
    assert statements["farmer"] == summary["statement"]
    for kind, confirmed in (("farmer", 2), ("pooler", 3), ("miner", 1)):
        statement = statements[kind]
        assert (statement["isSound"], statement["findings"]) == (True, [])
        assert statement["transactions"]["confirmed"] >= confirmed
        assert sum(statement["transactions"].values()) == statement["lines"]
        assert f"a {kind}'s statement of {statement['lines']} lines" in output
    # A miner has joined by HTTP, and has a part of the block.
    (mined,) = summary["miner"]
    assert (mined["state"], mined["shares"] > 0) == ("handed_on", True)
    assert int(mined["pot"]) == sum(int(row["reward"]) for row in summary["rows"]) // 10
    part = int(mined["pot"]) * mined["points"] // (mined["points"] + mined["own_hashes"])
    assert int(mined["part"]) in {part, part + 1}  # by largest remainders
    # All of it is paid, to the stroop: each to an account of its own outside of the pool.
    paid = summary["payouts"]
    assert (paid["equal"], paid["unpaid"], paid["ledger_adds_up"]) == (True, [], True)
    got = sum(int(paid[name]) for name in ("farmers", "miners", "pooler", "operator"))
    # What they had before may be paid with it.
    own = int(paid["funded"]) - int(paid["left"])
    assert got == int(paid["total"]) == int(paid["minted"]) - int(paid["staked"]) + own
    assert int(paid["minted"]) == sum(int(row["reward"]) for row in summary["rows"])
    assert int(paid["miners"]) == int(mined["part"])
    assert "what was paid adds up to what the chain minted" in output
    assert f"the miner: {mined['shares']:,} shares, {mined['points']:,} points" in output

    process = demo("run", "--farmers", "4", "--blocks", "1")
    parent = psutil.Process(process.pid)
    wait_for(iter(lambda: len(parent.children(recursive=True)) >= 7, None), 60)
    children = parent.children(recursive=True)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_wrong_arguments_are_told() -> None:
    process = demo("run", "--farmers", "0")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "from 1 to 1000" in output


@pytest.mark.parametrize("service", SERVICES)
async def test_restarting_a_service_does_not_change_the_end(service: str, tmp_path: Path) -> None:
    config = StackConfig(directory=tmp_path / "stack", ledger_seconds=0.5, block_seconds=18)
    await farm_while(config, lambda stack: stack.restart(service), every=BETWEEN_RESTARTS)
