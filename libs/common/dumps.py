"""Protection of this process's memory: it is not written to files."""

import ctypes
import resource
import sys

#: prctl(2): whether the process may be dumped, and traced by others of its user.
_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """Forbid core files after a crash, and forbid everybody but root to read this process's memory.

    The limit alone does not hold where the kernel hands core dumps to a program (core_pattern). The
    flag exists on Linux only. Raise OSError when the system refuses either of them.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "the process may still be dumped")
