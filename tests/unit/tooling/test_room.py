"""The room for a pool: too little of it, and a disk that becomes full, are told in a sentence."""

import errno
import shutil
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demo import __main__ as demo
from devstack import folder as module
from devstack.folder import NEEDED, NoRoomError, check_room, full_disk, told_when_full
from devstack.postgres import PostgresStartError

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The disk has so many bytes left."""
    found = SimpleNamespace(free=NEEDED * 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: found)
    return found


def test_a_pool_needs_room_where_its_folder_is_to_be(left: SimpleNamespace, tmp_path: Path) -> None:
    check_room(tmp_path / "var" / "demo")
    left.free -= 1
    with pytest.raises(NoRoomError, match=f"299 MB are left where {tmp_path}/var/demo is") as told:
        check_room(tmp_path / "var" / "demo")
    assert f"needs {NEEDED} MB" in str(told.value)


def test_the_real_disk_is_asked(tmp_path: Path) -> None:
    whole = shutil.disk_usage(tmp_path).total // 10**6
    assert 0 < module.room(tmp_path / "not" / "there") <= whole


@pytest.mark.parametrize(
    ("error", "free", "is_full"),
    [
        (FULL, 10**9, True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 10**9, True),
        (OSError(errno.EPERM, "not permitted"), 10**9, False),
        (PostgresStartError("initdb failed:\nNo space left on device"), 10**9, True),
        (PostgresStartError("initdb failed"), 10**9, False),
        (ValueError("anything"), 19_999_999, True),
        (ValueError("anything"), 20_000_000, False),
    ],
)
def test_whose_fault_an_error_is(
    left: SimpleNamespace, tmp_path: Path, error: Exception, free: int, is_full: bool
) -> None:
    left.free = free
    words = full_disk(error, tmp_path)
    assert words == (f"the disk is full where {tmp_path} is" if is_full else "")


def test_it_is_told_in_place_of_what_came_from_it(left: SimpleNamespace, tmp_path: Path) -> None:
    left.free = 10**6
    with pytest.raises(NoRoomError, match="the disk is full"), told_when_full(tmp_path):
        raise ValueError("anything")
    left.free = 10**9
    with pytest.raises(ValueError, match="anything"), told_when_full(tmp_path):
        raise ValueError("anything")


def fails(error: Exception) -> Coroutine[Any, Any, int]:
    async def work() -> int:
        raise error

    return work()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FULL, "the disk is full where {} is"),
        (NoRoomError("too full"), "too full"),
        (PostgresStartError("it ended"), "it ended"),
    ],
)
async def test_the_demo_says_it_in_a_line(
    left: SimpleNamespace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    line: str,
) -> None:
    assert await demo._told(fails(error), tmp_path) == 1
    assert capsys.readouterr().err == line.format(tmp_path) + "\n"


async def test_too_little_room_is_said_as_it_is(
    left: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left.free = 0
    assert await demo._told(fails(NoRoomError("too full")), tmp_path) == 1
    assert capsys.readouterr().err == "too full\n"


async def test_a_defect_is_not_hidden(left: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a defect"):
        await demo._told(fails(ValueError("a defect")), tmp_path)
