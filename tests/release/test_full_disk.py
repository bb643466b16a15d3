"""A disk that is full when a pool starts, and one that becomes full while it runs."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.folder import NEEDED
from tests.support.release import SMALL, end_of, start_module

pytestmark = pytest.mark.e2e


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of so many megabytes."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or unmount is None:
        pytest.skip("needs root, who may mount a small disk")
    # The server has another account than root, and must reach its data there.
    folder = Path("/tmp") / f"kalepool-disk-{os.getpid()}"  # noqa: S108
    folder.mkdir(mode=0o755)
    words = [
        mount,
        "-t",
        "tmpfs",
        "-o",
        f"size={request.param * 10**6},mode=0755",
        "tmpfs",
        str(folder),
    ]
    if subprocess.run(words, check=False, capture_output=True).returncode != 0:
        folder.rmdir()
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run([unmount, "--lazy", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.parametrize("disk", [1, NEEDED - 10], indirect=True)
def test_a_pool_does_not_start_without_room(disk: Path) -> None:
    ended = end_of(start_module(disk, SMALL))
    assert ended.status == 1, ended.words
    (line,) = ended.errors.splitlines()
    assert line.startswith("the disk is too full")
    assert str(disk / "var" / "demo") in line


@pytest.mark.parametrize("disk", [NEEDED + 20], indirect=True)
def test_a_disk_that_becomes_full_is_told_in_a_sentence(disk: Path) -> None:
    started = start_module(disk, SMALL)
    logs = disk / "var" / "demo" / "logs" / "localnet.log"

    def fill() -> None:
        while started.poll() is None and not logs.exists():
            time.sleep(0.1)
        with (disk / "other").open("wb") as other:
            try:
                while started.poll() is None:
                    other.write(bytes(10**6))
                    other.flush()
            except OSError:
                return

    filling = threading.Thread(target=fill)
    filling.start()
    ended = end_of(started)
    filling.join()
    assert ended.status == 1, ended.words
    assert ended.errors.strip() == f"the disk is full where {disk / 'var' / 'demo'} is"
    assert "Traceback" not in ended.errors
