"""Object code on disk: used again, made anew when damaged, never taken from somebody else."""

import os
from pathlib import Path

import pytest

from miner.engines.llvm.cache import ObjectCache, default_folder
from miner.engines.llvm.engine import LlvmEngine
from miner.keccak import ROUND_CONSTANTS
from miner.model import WrongFindError


def test_what_is_kept_is_read_under_the_same_texts_only(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "deep" / "folder")
    assert cache.read("a", "b") is None
    cache.keep(b"code", "a", "b")
    assert cache.read("a", "b") == b"code"
    assert cache.read("a", "c") is None
    assert cache.read("ab") is None
    assert [path.suffix for path in (tmp_path / "deep" / "folder").iterdir()] == [".o"]


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 40])
def test_a_damaged_file_counts_as_missing_and_is_replaced(tmp_path: Path, damage: bytes) -> None:
    cache = ObjectCache(tmp_path)
    cache.keep(b"code", "a")
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert cache.read("a") is None
    cache.keep(b"code", "a")
    assert cache.read("a") == b"code"


def test_what_others_can_write_is_not_run(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    cache.keep(b"code", "a")
    (file,) = tmp_path.iterdir()
    file.chmod(0o666)
    assert cache.read("a") is None
    file.chmod(0o600)
    assert cache.read("a") == b"code"
    tmp_path.chmod(0o777)
    assert cache.read("a") is None


def test_a_folder_that_cannot_be_written_costs_the_cache_only(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_bytes(b"")
    cache = ObjectCache(occupied / "below")
    cache.keep(b"code", "a")
    assert cache.read("a") is None


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if os.uname().sysname == "Linux":
        assert default_folder() == tmp_path / "kalepool" / "miner"
    assert default_folder().name == "miner"


def test_an_engine_compiles_once_and_again_what_is_damaged(tmp_path: Path) -> None:
    def warm() -> bytes:
        LlvmEngine(1, ObjectCache(tmp_path)).warm()
        (file,) = tmp_path.iterdir()
        return file.read_bytes()

    first = warm()
    (file,) = tmp_path.iterdir()
    made = file.stat().st_mtime_ns
    assert warm() == first
    assert file.stat().st_mtime_ns == made
    file.write_bytes(first[:100])
    assert warm() == first


def test_code_that_hashes_wrongly_is_noticed_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler's fault, say: here one constant of one round is another."""
    wrong = (*ROUND_CONSTANTS[:7], 1, *ROUND_CONSTANTS[8:])
    monkeypatch.setattr("miner.engines.llvm.rounds.ROUND_CONSTANTS", wrong)
    with pytest.raises(WrongFindError, match="are good"):
        LlvmEngine(1, ObjectCache(tmp_path)).warm()
