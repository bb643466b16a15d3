"""All tests side by side; those that fail are tried once more, alone.

Some hundred real processes share a machine that may be slow or busy, and a test that met a deadline
of the product there says nothing about the product. A test that fails twice, the second time with
the machine to itself, does. Whatever passed only alone is named, so that nobody overlooks it; where
many tests fail, the change is wrong and nothing is tried again.

Arguments are pytest's.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

#: pytest's exit status when tests ran and some failed; anything else is no failure of a test.
TESTS_FAILED = 1
#: The most failures that are tried once more.
MOST_AGAIN = 8
#: Names of failed tests, written by pytest's cache plugin.
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def run_pytest(arguments: Sequence[str]) -> int:
    """Run pytest in a process of its own; return its exit status."""
    return subprocess.run(  # noqa: S603  (our interpreter)
        [sys.executable, "-m", "pytest", *arguments], check=False
    ).returncode


def last_failed() -> list[str]:
    """Return the names of the tests that the last run saw failing."""
    return sorted(json.loads(LAST_FAILED.read_text("utf-8"))) if LAST_FAILED.exists() else []


def tell(text: str) -> None:
    """Print a line, in order with what pytest prints."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Run the tests, and those that failed once more; return pytest's exit status."""
    LAST_FAILED.unlink(missing_ok=True)
    status = run_pytest(arguments)
    failed = last_failed()
    if status != TESTS_FAILED or not 0 < len(failed) <= MOST_AGAIN:
        return status
    tell(f"\n{len(failed)} failed beside others and are tried once more, alone")
    again = run_pytest([*failed, "-p", "no:xdist"])
    still = set(last_failed())
    for name in failed:
        verdict = "FAILED TWICE" if name in still else "UNSTEADY, passed alone"
        tell(f"{verdict}: {name}")
    return again


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
