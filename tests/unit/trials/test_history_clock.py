"""The clock of processes, also of those that end while it runs."""

import subprocess
import sys
import time

import pytest

from trials.history.server_time import ServerClock

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells the seconds of processes"
)
BUSY = "while True: sum(range(1000))"


def run_until(clock: ServerClock, seconds: float) -> float:
    """Wait until a clock shows so many seconds."""
    deadline = time.monotonic() + 60
    while (now := clock()) < seconds and time.monotonic() < deadline:
        time.sleep(0.02)
    return now


def test_a_process_that_has_ended_has_run_for_as_long_as_it_was_seen_to() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY]) as first:
        clock = ServerClock([first.pid])
        seen = run_until(clock, 0.05)
        first.kill()
    assert seen >= 0.05
    assert clock() >= seen

    with subprocess.Popen([sys.executable, "-c", BUSY]) as second:
        seen = clock()
        clock.count([first.pid, second.pid])
        assert run_until(clock, seen + 0.05) >= seen + 0.05
        second.kill()
