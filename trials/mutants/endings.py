"""The end of processes and of all that they have started, whatever groups and sessions it is in."""

import contextlib
import os
import signal

import psutil

#: Seconds that what a process has started has to end by itself, and again after it was asked to.
_TIDY = 3.0


def end_fork(pid: int) -> None:
    """End a child that leads a process group, and what it has started.

    What ends by itself once its owner is gone has the time to tidy up, such as PostgreSQL.
    """
    child = psutil.Process(pid)
    # Stopped, so that it starts nothing meanwhile.
    child.suspend()
    descendants = child.children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _end(descendants)


def end_descendants() -> None:
    """End what this process has started."""
    _end(psutil.Process().children(recursive=True))


def _end(processes: list[psutil.Process]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        _, processes = psutil.wait_procs(processes, timeout=_TIDY)
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
