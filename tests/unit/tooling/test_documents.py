"""What the documents tell to type, to read or to change is there."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from libs.common.names import SERVICES

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("docs", "services", "libs", "localnet", "tests/model", "contracts")
DOCUMENTS = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
    ),
    *sorted(path for part in PARTS for path in (ROOT / part).rglob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#]+)")
#: A path in backticks; what has a placeholder (`<name>`, `*`) names nothing that is there.
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
#: What commands make, and what is of one installation.
MADE = ("var/", ".venv/", "deploy/secrets", "deploy/backups")
#: Files of one installation, such as deploy/wallet.env.
OWN = re.compile(r"deploy/\w+\.env")
#: A name in backticks that may be one of the code's: a class, a constant, a function.
NAME = re.compile(r"`(_?[A-Za-z]\w{3,})(?:\(\))?`")
#: Names that are not ours: columns of the seed, and a gauge as Prometheus spells it.
FOREIGN = {"api_key", "custodial_secret_key", "kalepool_event_loop_longest_turn_seconds"}
#: Endings of the files in which a name may stand.
CODE = (".py", ".pyi", ".proto", ".sql", ".rs", ".toml", ".yml", ".sh", ".env", "Makefile")


@cache
def words_of_the_code() -> frozenset[str]:
    """Return all words of all files of the code."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    files = [ROOT / name for name in listed.stdout.splitlines() if name.endswith(CODE)]
    return frozenset(
        word for path in files if path.exists() for word in re.findall(r"\w+", read(path))
    )


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert [link for link in LINK.findall(read(path)) if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_path_that_is_named_is_there(path: Path) -> None:
    """From the root, from beside the document, or within wallet, whose rooms have short names."""
    places = (ROOT, path.parent, ROOT / "services" / "wallet")
    ours = {entry.name for place in places for entry in place.iterdir() if entry.is_dir()}
    missing = [
        named
        for named in NAMED.findall(read(path))
        if named.partition("/")[0] in ours
        and not named.startswith(MADE)
        and not OWN.fullmatch(named)
        and not any((place / named).exists() for place in places)
    ]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_name_in_backticks_is_one_of_the_code(path: Path) -> None:
    """A setting's name is its field's in upper case."""
    known = words_of_the_code() | FOREIGN
    named = set(NAME.findall(read(path)))
    assert {name for name in named if not {name, name.lower()} & known} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_make_target_is_one(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", read(path), flags=re.MULTILINE)) <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_whoever_is_to_type_kalepool_is_told_where_it_is(path: Path) -> None:
    """No shell finds it by itself: the environment is not on PATH."""
    text = read(path)
    if re.search(r"^ *kalepool ", text, flags=re.MULTILINE):
        assert ".venv/bin" in text


@pytest.mark.parametrize("name", ["README.md", "docs/backup.md"])
@pytest.mark.parametrize("service", SERVICES)
def test_whoever_migrates_is_told_of_every_roles_password(name: str, service: str) -> None:
    """A role that never got one cannot log in."""
    assert f"{service.upper()}_DB_PASSWORD" in read(ROOT / name)


def test_certificates_are_renewed_as_the_makefile_does_it() -> None:
    assert "make certificates" in read(ROOT / "README.md")
    recipe = read(ROOT / "Makefile").partition("\ncertificates:")[2].partition("\n\n")[0]
    assert recipe.endswith("scripts/make_secrets.py --renew")
