"""What README.md and docs/ tell to type is there."""

import re
from pathlib import Path

import pytest

from libs.common.names import SERVICES

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_is_one(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", read(path), flags=re.MULTILINE)) <= targets


@pytest.mark.parametrize("name", ["README.md", "docs/backup.md"])
@pytest.mark.parametrize("service", SERVICES)
def test_whoever_migrates_is_told_of_every_roles_password(name: str, service: str) -> None:
    """A role that never got one cannot log in."""
    assert f"{service.upper()}_DB_PASSWORD" in read(ROOT / name)


def test_certificates_are_renewed_as_the_makefile_does_it() -> None:
    assert "make certificates" in read(ROOT / "README.md")
    recipe = read(ROOT / "Makefile").partition("\ncertificates:")[2].partition("\n\n")[0]
    assert recipe.endswith("scripts/make_secrets.py --renew")
