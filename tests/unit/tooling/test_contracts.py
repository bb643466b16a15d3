"""The committed contract and the script that builds it, as far as they go without a compiler."""

import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from scripts import contracts

LOCK = (contracts.SOURCE / "Cargo.lock").read_text(encoding="utf-8")
CODE = contracts.COMMITTED.read_bytes()


def run(*arguments: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """The script with nothing but this folder in PATH."""
    return subprocess.run(
        [sys.executable, contracts.__file__, *arguments],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("arguments", "status"), [(("--check",), 0), ((), 1)])
def test_without_cargo_it_says_so(arguments: tuple[str, ...], status: int, tmp_path: Path) -> None:
    done = run(*arguments, path=tmp_path)
    assert done.returncode == status
    assert "no cargo here" in done.stdout
    assert done.stderr == ""


def test_another_file_than_the_source_gives_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contracts, "build", lambda: CODE)
    assert contracts.check() == 0
    monkeypatch.setattr(contracts, "build", lambda: CODE + b"\0")
    assert contracts.check() == 1
    assert sha256(CODE).hexdigest() in capsys.readouterr().err


def test_libraries_come_from_the_index_of_crates_only() -> None:
    sources = set(re.findall(r'^source = "(.*)"$', LOCK, flags=re.MULTILINE))
    assert sources == {"registry+https://github.com/rust-lang/crates.io-index"}


def test_the_file_is_small_and_names_no_folder_of_a_builder() -> None:
    assert CODE.startswith(b"\0asm")
    assert len(CODE) < 1500
    assert b".cargo" not in CODE


def test_the_pinned_compiler_is_the_one_that_built_it() -> None:
    pinned = (contracts.SOURCE / "rust-toolchain.toml").read_text(encoding="utf-8")
    match = re.search(r'channel = "([\d.]+)"', pinned)
    assert match is not None
    assert match[1].encode() in CODE
