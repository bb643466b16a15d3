"""The mutated files, their tests, and the changed lines."""

import re
import subprocess
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from trials.mutants.model import Mutant
from trials.mutants.python_code import python_mutants
from trials.mutants.sql_code import sql_mutants

#: Patterns of the mutated files; a `*` takes folders in, too.
PATTERNS = (
    "services/*/domain/*.py",
    "services/*/usecases*.py",
    "services/wallet/engine/*.py",
    "services/wallet/chain/*.py",
    "services/wallet/keys/*.py",
    "services/*/store/queries*.sql",
    "pooler/shares/domain/*.py",
    "pooler/shares/store/queries.sql",
    "libs/*.py",
    "libs/*.sql",
)
#: Tests that a file is tried against, by the beginning of its path; the first entry that fits
#: counts.
SUITES = (
    ("services/wallet/keys/", ("unit/wallet", "contract/key_providers", "integration/wallet")),
    ("services/wallet/", ("unit/wallet", "contract/localnet_rpc", "integration/wallet")),
    ("services/registry/", ("unit/registry", "integration/registry")),
    ("services/plant/", ("unit/plant", "integration/plant", "integration/batches")),
    ("services/work/", ("unit/work", "integration/work", "integration/batches")),
    ("services/harvest/", ("unit/harvest", "integration/harvest", "integration/batches")),
    ("libs/kale/", ("unit/kale", "unit/common", "unit/pooler", "integration/work")),
    (
        "libs/batches/",
        (
            "unit/common",
            "integration/batches",
            "integration/plant",
            "integration/work",
            "integration/harvest",
        ),
    ),
    ("pooler/shares/", ("unit/shares", "integration/shares")),
    ("libs/http/", ("unit/http", "unit/gateway", "integration/gateway")),
    ("libs/", ("unit/common", "unit/cli", "integration/common", "integration/registry")),
)
_HUNK = re.compile(r"^@@ -\S+ \+(?P<first>\d+)(?:,(?P<count>\d+))? @@")


def target_files(files: Iterable[str], only: Sequence[str] = ()) -> list[str]:
    """Return the files to mutate, or those that `only` names: files, folders, patterns."""
    found = [path for path in files if any(fnmatch(path, pattern) for pattern in PATTERNS)]
    return [path for path in found if not only or _is_named(path, only)]


def _is_named(path: str, names: Iterable[str]) -> bool:
    return any(
        path == name or path.startswith(name.rstrip("/") + "/") or fnmatch(path, name)
        for name in names
    )


def mutants_of(root: Path, path: str) -> list[Mutant]:
    """Return all mutants of a file."""
    source = (root / path).read_text(encoding="utf-8")
    return sql_mutants(path, source) if path.endswith(".sql") else python_mutants(path, source)


def files_of_tests(
    files: Iterable[str], targets: Iterable[str], only: Sequence[str] = ()
) -> list[str]:
    """Return the test files for some targets, or those that `only` names."""
    suites = {f"tests/{suite}/" for target in targets for suite in _suites(target)}
    return [
        path
        for path in files
        if path.rpartition("/")[2].startswith("test_")
        and path.endswith(".py")
        and any(path.startswith(suite) for suite in suites)
        and (not only or _is_named(path, only))
    ]


def _suites(target: str) -> tuple[str, ...]:
    return next((suites for start, suites in SUITES if target.startswith(start)), ())


def changed_lines(root: Path) -> dict[str, set[int]]:
    """Return the lines that have changed since the branch left origin/main.

    On origin/main itself, return the lines that have changed since one commit before.
    """
    head = _git(root, "rev-parse", "HEAD")
    base = _git(root, "merge-base", "HEAD", "origin/main")
    if base in {"", head}:
        base = _git(root, "rev-parse", "--verify", "--quiet", "HEAD~1") or head
    changed = parse_diff(_git(root, "diff", "--unified=0", "--no-color", "--no-ext-diff", base))
    for path in _git(root, "ls-files", "--others", "--exclude-standard").splitlines():
        if any(fnmatch(path, pattern) for pattern in PATTERNS):
            count = len((root / path).read_text(encoding="utf-8").splitlines())
            changed[path] = set(range(1, count + 1))
    return changed


def parse_diff(text: str) -> dict[str, set[int]]:
    """Return the lines that a diff without context adds or changes, by file."""
    changed: dict[str, set[int]] = {}
    path = ""
    for line in text.splitlines():
        if line.startswith("+++ "):
            path = line[4:].partition("/")[2]
        elif (hunk := _HUNK.match(line)) is not None:
            first, count = int(hunk["first"]), int(hunk["count"] or 1)
            changed.setdefault(path, set()).update(range(first, first + count))
    return changed


def _git(root: Path, *arguments: str) -> str:
    """Return git's output; "" when git refuses, as for a branch that is not there."""
    done = subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() if done.returncode == 0 else ""
