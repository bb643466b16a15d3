"""Object code on disk, so that a start costs milliseconds.

A file's name is the digest of all that its content follows from; its first 32 bytes are the digest
of the rest. A file that is damaged counts as missing. Nothing here fails: without a folder that
can be written, code is compiled at every start.
"""

import os
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import platformdirs

_DIGEST_BYTES = 32


def default_folder() -> Path:
    """Return the folder for object code in the user's cache folder."""
    return Path(platformdirs.user_cache_dir("kalepool", appauthor=False)) / "miner"


class ObjectCache:
    """The files of a folder that only its owner may change, as what they hold is run."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made when something is kept."""
        self._folder = folder

    def read(self, *made_from: str) -> bytes | None:
        """Return the object code that was made from these texts; None: there is none."""
        path = self._path(made_from)
        try:
            if not _is_ours(path.parent) or not _is_ours(path):
                return None
            content = path.read_bytes()
        except OSError:
            return None
        digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return code if digest == sha256(code).digest() else None

    def keep(self, code: bytes, *made_from: str) -> None:
        """Keep object code under the texts that it was made from; whole or not at all."""
        path = self._path(made_from)
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(sha256(code).digest() + code)
                Path(name).replace(path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise

    def _path(self, made_from: tuple[str, ...]) -> Path:
        digest = sha256("\0".join(made_from).encode()).hexdigest()
        return self._folder / f"{digest}.o"


def _is_ours(path: Path) -> bool:
    """Tell whether nobody but this user can change a file or folder."""
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022
