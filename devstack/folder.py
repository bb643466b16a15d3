"""Folders that one run at a time may use, and the room that is left where they are."""

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEGABYTE = 10**6
#: Megabytes that a pool needs: PostgreSQL's data and its log of changes, and what processes say.
NEEDED = 300
#: Megabytes below which a disk counts as full: PostgreSQL asks for 16 at a time.
_FULL = 20
#: What the system says of a disk that is full, as programs pass it on.
_NO_ROOM = "No space left on device"


class BusyError(Exception):
    """Another run uses the folder."""


class NoRoomError(Exception):
    """The disk has no room for a pool; the message says where."""


def check_room(folder: Path) -> None:
    """Raise NoRoomError when a pool would not fit where a folder is."""
    left = room(folder)
    if left < NEEDED:
        raise NoRoomError(
            f"the disk is too full: {left} MB are left where {folder.absolute()} is, and a pool "
            f"needs {NEEDED} MB"
        )


def room(folder: Path) -> int:
    """Return the megabytes that are left where a folder is, or is to be."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free // _MEGABYTE


@contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Raise NoRoomError instead of an error that came from a full disk.

    Whether the disk is full is asked at once: what ends makes room.
    """
    try:
        yield
    except Exception as error:
        words = full_disk(error, folder)
        if not words:
            raise
        raise NoRoomError(words) from error


def full_disk(error: BaseException, folder: Path) -> str:
    """Return a sentence when an error came from a full disk, whoever met it; else an empty text."""
    number = error.errno if isinstance(error, OSError) else None
    is_told = number in {errno.ENOSPC, errno.EDQUOT} or _NO_ROOM in str(error)
    if not is_told and room(folder) >= _FULL:
        return ""
    return f"the disk is full where {folder.absolute()} is"


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
