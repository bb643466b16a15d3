"""What the tests before a release share: commands in folders of their own, and their last words."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Seconds that a small demo may take on a busy machine.
PATIENCE = 600.0
#: A pool as small as it may be.
SMALL = ("demo", "run", "--farmers", "2", "--blocks", "1")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended."""

    #: Its exit status.
    status: int
    #: What it wrote to standard output, and to standard error.
    output: str
    errors: str

    @property
    def words(self) -> str:
        """Return the end of all that it said."""
        return f"status {self.status}\n{self.output[-3000:]}\n{self.errors[-3000:]}"


def code_path(root: Path = ROOT, *more: Path) -> str:
    """Return the PYTHONPATH of a checkout."""
    return os.pathsep.join(map(str, (root, root / "gen", *more)))


def start_module(
    folder: Path,
    words: Sequence[str],
    *,
    root: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    python: Sequence[str] = (sys.executable,),
) -> "subprocess.Popen[str]":
    """Start a module of a checkout in a folder."""
    own = {
        **os.environ,
        "PYTHONPATH": code_path(root),
        "KALEPOOL_CONFIG_HOME": str(folder / "config"),
        **(environment or {}),
    }
    return subprocess.Popen(
        [*python, "-m", *words],
        cwd=folder,
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end_of(command: "subprocess.Popen[str]") -> Ended:
    """Wait for the end of a command."""
    try:
        output, errors = command.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        command.terminate()
        output, errors = command.communicate(timeout=PATIENCE)
        errors += f"\nstill running after {PATIENCE} s"
    return Ended(status=command.returncode, output=output, errors=errors)


def clone(into: Path) -> Path:
    """Make a clone of this repository's newest commit."""
    git = shutil.which("git") or "git"
    subprocess.run([git, "clone", "--quiet", "--no-local", str(ROOT), str(into)], check=True)
    return into
