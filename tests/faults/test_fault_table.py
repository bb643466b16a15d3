"""The short run of `make faults`: real processes, one row of each kind."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.e2e]


def test_the_short_run_finds_nothing() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "faults", "run", "--quick", "--no-write"],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
