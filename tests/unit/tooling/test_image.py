"""deploy/Dockerfile copies what there is, what .dockerignore admits, and all that is needed."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8")
#: Folders with Python code of ours.
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}


def copied() -> list[str]:
    """What COPY takes from the repository, not from another stage."""
    lines = [line.split() for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    return [name for _, *words in lines if not words[0].startswith("--from") for name in words[:-1]]


def is_admitted(name: str, rules: str) -> bool:
    """Whether a path goes to the builder; the last rule that fits it or a folder above counts."""
    admitted = True
    parts = Path(name).parts
    above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    for rule in (line.strip() for line in rules.splitlines()):
        if rule and not rule.startswith("#"):
            pattern = rule.removeprefix("!")
            if any(fnmatch(path, pattern) for path in above):
                admitted = rule.startswith("!")
    return admitted


def imported(package: str) -> Iterator[str]:
    """Top-level names that the package's files import."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


@pytest.mark.parametrize("name", sorted(set(copied())))
def test_what_is_copied_is_there_and_goes_to_the_builder(name: str) -> None:
    assert (ROOT / name).exists()
    assert is_admitted(name, IGNORED)


@pytest.mark.parametrize(
    "name", ["deploy/secrets/wallet_master_key", ".git/config", "var/up", ".env"]
)
def test_nothing_secret_goes_to_the_builder(name: str) -> None:
    assert not is_admitted(name, IGNORED)


def test_only_what_is_copied_is_admitted() -> None:
    rules = [line[1:] for line in IGNORED.splitlines() if line.startswith("!")]
    assert sorted(rules) == sorted(set(copied()))


def test_the_last_rule_that_fits_counts() -> None:
    rules = "# comment\n*\n!libs\n!requirements/runtime.txt\n"
    assert is_admitted("libs/common/ids.py", rules)
    assert is_admitted("requirements/runtime.txt", rules)
    assert not is_admitted("requirements/dev.txt", rules)
    assert not is_admitted("pooler", rules)


@pytest.mark.parametrize("package", sorted(PACKAGES & set(copied())))
def test_what_a_package_in_the_image_imports_is_there_too(package: str) -> None:
    assert set(imported(package)) & PACKAGES <= set(copied())


def test_every_stage_that_is_copied_from_is_there() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, flags=re.MULTILINE))
    assert set(re.findall(r"^COPY --from=(\S+)", DOCKERFILE, flags=re.MULTILINE)) <= stages
