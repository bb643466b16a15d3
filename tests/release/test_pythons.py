"""The oldest and the newest Python that are here: set up from a clone, tried, and a small pool."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.release import PATIENCE, clone

pytestmark = pytest.mark.e2e
#: The oldest minor version of Python 3 that the pool takes.
OLDEST = 11
#: Places of interpreters besides PATH: those that pyenv made, and those of systems.
PLACES = (
    Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions",
    Path("/usr/bin"),
    Path("/usr/local/bin"),
)
#: Unit tests of what is nearest to the language: types, tasks, settings, the command line.
UNITS = ("tests/unit/common", "tests/unit/cli")


def interpreters() -> dict[int, Path]:
    """Return a Python 3 that can make environments for each minor version, OLDEST and newer."""
    named = [path for place in PLACES for path in place.glob("**/bin/python3.*")]
    named += [path for place in PLACES[1:] for path in place.glob("python3.*")]
    found: dict[int, Path] = {}
    for path in sorted(named):
        minor = re.fullmatch(r"python3\.(\d+)", path.name)
        if minor is None or int(minor[1]) < OLDEST:
            continue
        tried = [str(path), "-c", "import ensurepip, venv"]
        if subprocess.run(tried, check=False, capture_output=True).returncode == 0:
            found.setdefault(int(minor[1]), path)
    return found


@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_a_clone_is_set_up_and_farms(which: str, tmp_path: Path) -> None:
    found = interpreters()
    if not found:
        pytest.skip(f"no Python from 3.{OLDEST} on that can make environments")
    if which == "newest" and len(found) < 2:
        pytest.skip(f"Python 3.{min(found)} is the only one here")
    minor = min(found) if which == "oldest" else max(found)
    root = clone(tmp_path / "clone")
    python = str(root / ".venv" / "bin" / "python")
    done(root, ["make", "setup", f"PYTHON={found[minor]}"])
    assert done(root, [python, "--version"]).startswith(f"Python 3.{minor}.")
    done(root, [python, "-m", "pytest", "-q", "-p", "no:xdist", *UNITS])
    done(root, ["make", "demo", "FARMERS=2", "BLOCKS=1"])


def done(root: Path, words: list[str]) -> str:
    """Run a command in a clone, without this checkout's environment; return what it says."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "VIRTUAL_ENV", "PYTHON"}
    }
    ended = subprocess.run(
        words,
        cwd=root,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert ended.returncode == 0, f"{words}: {ended.stdout[-4000:]}\n{ended.stderr[-4000:]}"
    return ended.stdout
