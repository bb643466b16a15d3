"""The firewall that the documents give, loaded and tried in a network namespace."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "nftables.conf"
#: Connections of one address, or of one network of IPv6.
OPEN = 64


def _in_a_namespace(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "--map-root-user", "--net", *command],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def made() -> dict[str, int]:
    """How many connections each address has made."""
    missing = [name for name in ("nft", "ip", "unshare") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"this machine has no {', '.join(missing)}")
    if _in_a_namespace("nft", "list", "ruleset").returncode:
        pytest.skip("this machine gives no network namespace with nftables")
    checked = _in_a_namespace("nft", "--check", "--file", str(RULES))
    assert checked.returncode == 0, checked.stderr
    tried = _in_a_namespace(sys.executable, "-m", "tests.support.firewall_trial", str(RULES))
    assert tried.returncode == 0, tried.stderr
    found: dict[str, int] = json.loads(tried.stdout)
    return found


def test_one_address_has_so_many_connections_and_no_more(made: dict[str, int]) -> None:
    assert made["stranger"] == OPEN
    assert made["neighbours"] == OPEN


def test_who_connects_too_fast_is_slowed_down(made: dict[str, int]) -> None:
    assert 100 <= made["fast"] < 300


def test_others_and_the_pools_own_machines_are_not_touched(made: dict[str, int]) -> None:
    assert (made["another"], made["own"], made["elsewhere"]) == (10, 80, 80)
    assert made["later"] == 10
