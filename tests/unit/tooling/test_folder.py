"""One run at a time in a folder: a second one is told so, and the first one goes on."""

import asyncio
from pathlib import Path

import pytest

from devstack.folder import BusyError, held
from devstack.interrupt import BUSY, run_to_end
from devstack.stack import StackConfig, open_stack


def test_a_folder_is_one_run_s_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "run"
    with held(folder):
        with pytest.raises(BusyError, match=r"another run is in progress in .*run"), held(folder):
            pytest.fail("two runs are in the folder")
        with held(tmp_path / "var" / "other"):
            pass
    with held(folder):
        pass


def test_a_second_pool_leaves_the_files_of_the_first_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    (folder / "kept").write_text("data")

    async def start() -> None:
        async with open_stack(StackConfig(directory=folder)):
            pytest.fail("two pools are in the folder")

    with held(folder), pytest.raises(BusyError):
        asyncio.run(start())
    assert (folder / "kept").read_text() == "data"


def test_a_command_that_is_kept_out_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def command() -> int:
        with held(tmp_path / "run"):
            return 0

    with held(tmp_path / "run"):
        assert run_to_end(command()) == BUSY
    assert "another run is in progress" in capsys.readouterr().err
    assert run_to_end(command()) == 0
