"""A full disk, a closed descriptor, a reader that has gone: one line at most, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = {
    "kalepool": ("-m", "cli", "--version"),
    "kalepool help": ("-m", "cli", "--help"),
    "pooler": ("-m", "pooler", "--help"),
    "demo": (
        "-c",
        "import sys\nfrom libs.common.stdout import with_output\n"
        "sys.exit(with_output('demo', lambda: print('words') or 0))",
    ),
}
EACH = pytest.mark.parametrize("command", COMMANDS)


def run(command: str, redirection: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with its output somewhere else."""
    words = [sys.executable, *COMMANDS[command]]
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *words],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@EACH
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_in_a_line(command: str) -> None:
    done = run(command, "> /dev/full")
    (line,) = done.stderr.splitlines()
    assert line.endswith("the output cannot be written: No space left on device")
    assert done.returncode == 1


@EACH
def test_a_closed_output_is_told_in_a_line(command: str) -> None:
    done = run(command, ">&-")
    (line,) = done.stderr.splitlines()
    assert line.endswith("standard output is closed")
    assert done.returncode == 1


@EACH
def test_a_reader_that_has_gone_is_told_nothing(command: str) -> None:
    words = [sys.executable, *COMMANDS[command]]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        words, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.stderr, done.returncode) == ("", 1)
