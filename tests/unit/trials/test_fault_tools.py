"""The clock that can be set wrong and the disk that can be filled, where a machine has them."""

import errno
import subprocess
import sys
import time

import pytest

from trials.faults.clock import FakeClock, fake_clock
from trials.faults.disk import small_disk
from trials.faults.refusal import NotHereError


def now_of_a_process(clock: FakeClock) -> tuple[float, float]:
    """Wall clock and steady clock as a process of that clock reads them."""
    finished = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import time; print(time.time(), time.monotonic())"],
        env=dict(clock.environment),
        check=True,
        capture_output=True,
        text=True,
    )
    wall, steady = finished.stdout.split()
    return float(wall), float(steady)


def test_a_clock_steps_for_its_processes_alone() -> None:
    try:
        with fake_clock() as clock:
            for step in (0, 86_400, -86_400):
                clock.set(step)
                wall, steady = now_of_a_process(clock)
                assert abs(wall - time.time() - step) < 60
                assert abs(steady - time.monotonic()) < 60
    except NotHereError as error:
        pytest.skip(str(error))


def test_a_full_disk_takes_nothing_and_then_something_again() -> None:
    try:
        with small_disk(1) as small:
            small.fill()
            with pytest.raises(OSError) as refused:
                small.home.write_bytes(b"x")
            assert refused.value.errno == errno.ENOSPC
            small.free()
            small.home.write_bytes(b"x" * 1000)
            folder = small.home.parent
        assert not folder.exists()
    except NotHereError as error:
        pytest.skip(str(error))


def test_where_no_disk_can_be_mounted_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise subprocess.CalledProcessError(32, "mount")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(NotHereError, match="root"), small_disk(1):
        pass
