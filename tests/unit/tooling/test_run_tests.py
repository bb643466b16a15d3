"""Tests that fail beside others are tried once more, alone, and named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "run_tests.py"

#: A test that fails at its first run only.
UNSTEADY = """
from pathlib import Path

def test_unsteady():
    seen = Path("seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError
"""
BROKEN = "def test_broken():\n    assert False\n"
MANY = "".join(f"def test_{number}():\n    assert False\n" for number in range(9))
SOUND = "def test_sound():\n    pass\n"


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        (SOUND, 0, []),
        (SOUND + UNSTEADY, 0, ["UNSTEADY, passed alone: test_it.py::test_unsteady"]),
        (
            BROKEN + UNSTEADY,
            1,
            [
                "FAILED TWICE: test_it.py::test_broken",
                "UNSTEADY, passed alone: test_it.py::test_unsteady",
            ],
        ),
        (MANY, 1, []),
        ("import nothing_of_that_name\n", 2, []),
        ("", 5, []),
    ],
    ids=["sound", "unsteady", "one is broken", "too many are broken", "no import", "no test"],
)
def test_only_failures_are_tried_again(
    text: str, status: int, told: list[str], tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    (tmp_path / "test_it.py").write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "-q"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    verdicts = [line for line in done.stdout.splitlines() if line[:4] in {"FAIL", "UNST"}]
    assert [line for line in verdicts if "test_it.py" in line and " - " not in line] == told
