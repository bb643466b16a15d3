"""A command whose output cannot be written: a sentence, not a traceback."""

import errno
import os
import sys
from collections.abc import Callable

#: What a write to a full disk, a lost device or a closed descriptor fails with.
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
#: Exit status when the output could not be written.
FAILED = 1


def with_output(name: str, run: Callable[[], int]) -> int:
    """Run a command; return its exit status, or 1 when nobody can read what it says.

    A reader who has closed the pipe is told nothing: it has read enough. Other errors of the output
    are told in a line that begins with `name`. A command whose output was closed before it began
    does nothing.
    """
    # Python has no stream for a descriptor that was closed before it started.
    if sys.stdout is None:
        return _told(name, "standard output is closed")
    try:
        status = run()
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
        return FAILED
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _discard()
        return _told(name, f"the output cannot be written: {error.strerror}")
    return status


def _told(name: str, words: str) -> int:
    if sys.stderr is not None:
        sys.stderr.write(f"{name}: {words}\n")
    return FAILED


def _discard() -> None:
    """Discard what Python would still write at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
