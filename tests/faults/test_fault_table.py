"""The short runs of `make faults` and `make day`: real processes, one row of each kind."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.e2e]


_DAY = "trials.day --farmers 5 --blocks 3 --ledger-seconds 0.1 --kill-every 1"


@pytest.mark.parametrize("command", ["trials.faults run --quick", _DAY])
def test_the_short_run_finds_nothing(command: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", *command.split(), "--no-write"],
        check=False,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
