"""Keeps what is in this process's memory out of files."""

import ctypes
import resource
import sys

#: prctl(2): whether the process may be dumped, and traced by others of its user.
_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """A crash leaves no core file, and nobody but root reads this process's memory.

    The limit alone does not hold where the kernel hands cores to a program (core_pattern); the flag
    is Linux's. OSError when either is refused.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "the process may still be dumped")
