"""Folders that one run at a time may use."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BusyError(Exception):
    """Another run uses the folder."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which need not exist; raise BusyError when one is in it.

    The lock lies beside the folder, so that the folder may be emptied, and ends with the process.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"another run is in progress in {folder}") from None
        yield
