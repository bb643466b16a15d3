"""Fetches the files of other people's packages that scripts/bundled.toml lists, or checks them.

python scripts/bundle.py          fetches them with npm and writes them, and their hashes
python scripts/bundle.py --check  fails when one is not what bundled.toml says; needs no network
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "scripts" / "bundled.toml"


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """A file of a package that stands in this repository."""

    #: Name of the package on npm.
    package: str
    #: Its version.
    version: str
    #: Path of the file in the package.
    source: str
    #: Path of the file here.
    place: str
    #: SHA-256 of its bytes (hex).
    sha256: str


def listed(text: str) -> list[Bundled]:
    """Return the files of a list."""
    return [Bundled(**entry) for entry in tomllib.loads(text)["file"]]


def check(files: list[Bundled], root: Path) -> Iterator[str]:
    """Say what is not as it is listed."""
    for file in files:
        path = root / file.place
        if not path.is_file():
            yield f"{file.place} is not there; python scripts/bundle.py fetches it"
        elif hash_of(path.read_bytes()) != file.sha256:
            yield f"{file.place} is not {file.source} of {file.package} {file.version}"


def hash_of(content: bytes) -> str:
    """Return the SHA-256 of a content."""
    return hashlib.sha256(content).hexdigest()


def fetch(files: list[Bundled], root: Path, text: str) -> str:
    """Write the files as npm has them; return the list with their hashes."""
    for package, version in sorted({(file.package, file.version) for file in files}):
        own = [file for file in files if (file.package, file.version) == (package, version)]
        for file, content in _unpacked(package, version, own):
            path = root / file.place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            text = _with_hash(text, file, hash_of(content))
    return text


def _unpacked(package: str, version: str, files: list[Bundled]) -> Iterator[tuple[Bundled, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(  # noqa: S603
            ["npm", "pack", "--silent", f"{package}@{version}"],  # noqa: S607
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            for file in files:
                member = packed.extractfile(f"package/{file.source}")
                if member is None:
                    raise SystemExit(f"{package} {version} has no file {file.source}")
                yield file, member.read()


def _with_hash(text: str, file: Bundled, found: str) -> str:
    """Return the list with another hash of one file."""
    entry = re.compile(rf'(place = "{re.escape(file.place)}"\nsha256 = )"[0-9a-f]*"')
    return entry.sub(rf'\g<1>"{found}"', text)


def main(arguments: list[str]) -> int:
    """Run the command."""
    text = LIST.read_text(encoding="utf-8")
    files = listed(text)
    if "--check" not in arguments:
        LIST.write_text(fetch(files, ROOT, text), encoding="utf-8")
        return 0
    found = list(check(files, ROOT))
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
