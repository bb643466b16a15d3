"""Whoever starts a command is told what the command takes, and nothing is started for that."""

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TESTS = ROOT / "tests"
#: What `python -m` runs.
COMMANDS = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in ROOT.glob("[a-z]*/**/__main__.py")
    if TESTS not in path.parents
)
#: Runs in place of a package that a command needs: Ctrl-C while the package is being read.
INTERRUPTED = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"


def run(*arguments: str, first: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command without any settings; modules in the folder `first` win over others."""
    paths = [str(path) for path in (first, ROOT, ROOT / "gen") if path is not None]
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_commands_are_found() -> None:
    assert {"cli", "gateway", "services", "services.wallet", "localnet"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_given(command: str) -> None:
    ended = run(command, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "usage:" in ended.stdout.lower()


@pytest.mark.parametrize("command", ["gateway", "services", "services.wallet"])
def test_words_that_are_not_known_are_refused(command: str) -> None:
    ended = run(command, "nonsense")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "usage:" in ended.stderr


@pytest.mark.parametrize("command", ["cli", "miner", "pooler"])
def test_ctrl_c_while_the_code_is_being_read_leaves_no_trace(command: str, tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text(INTERRUPTED, encoding="utf-8")
    ended = run(command, "--help", first=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.SIGINT, "", "")


def test_commands_are_what_python_runs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {
        "kalepool": "cli.__main__:main",
        "miner": "miner.__main__:main",
    }
