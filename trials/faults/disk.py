"""A small disk for PostgreSQL that can be filled to its last byte."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trials.faults.refusal import NotHereError

#: Bytes of one write.
_CHUNK = 2**16


class SmallDisk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        """Take the folder where the file system is mounted."""
        self.home = folder / "postgres"
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Fill the disk, so that nothing can be written any more."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (_CHUNK, 1):
                _write_until_full(file.fileno(), bytes(size))

    def free(self) -> None:
        """Make room on the disk again."""
        self._ballast.unlink(missing_ok=True)


def _write_until_full(file: int, chunk: bytes) -> None:
    try:
        while True:
            os.write(file, chunk)
    except OSError:  # no space left
        return


@contextmanager
def small_disk(mib: int) -> Iterator[SmallDisk]:
    """Mount a disk in memory while the block runs; NotHereError where that is not allowed."""
    with tempfile.TemporaryDirectory(prefix="kalepool-disk-") as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", name]
        try:
            subprocess.run(mount, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NotHereError("mounting a small disk needs Linux and root") from error
        try:
            yield SmallDisk(Path(name))
        finally:
            subprocess.run(["umount", "--lazy", name], check=True, capture_output=True)
