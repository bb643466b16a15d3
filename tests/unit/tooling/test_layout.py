"""What import-linter does not see: imports of tests and scripts."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_only_the_demos_own_tests_import_it() -> None:
    """Pools are started by devstack."""
    pattern = re.compile(r"^\s*(?:from|import) demo\b", flags=re.MULTILINE)
    files = [path for folder in ("tests", "scripts") for path in (ROOT / folder).rglob("*.py")]
    found = {path.name for path in files if pattern.search(path.read_text(encoding="utf-8"))}
    assert found == {
        "test_demo.py",
        "test_demo_profile.py",
        "test_demo_standing.py",
        "test_room.py",
    }
