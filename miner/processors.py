"""The processors of this machine: how many, and whether they are cores or threads of cores."""

import os
import platform
import sys
import threading
from contextlib import suppress
from pathlib import Path

#: The search gives way to everything else on the machine.
_NICENESS = 10
_CPUS = Path("/sys/devices/system/cpu")
#: The processor time that a container may use, and in how much time (both in microseconds).
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processors() -> int:
    """Return the processors that this process may use, or that its container's limit stands for.

    More threads than a limit pays for would be stopped together for a part of each second.
    """
    there = len(_usable()) or os.cpu_count() or 1
    return min(there, _allowed() or there)


def cores() -> int | None:
    """Return the cores that the usable processors belong to; None where nothing tells."""
    siblings = set()
    for number in _usable():
        try:
            text = (_CPUS / f"cpu{number}/topology/thread_siblings_list").read_text(
                encoding="ascii"
            )
        except OSError:
            return None
        siblings.add(text.strip())
    return len(siblings) or None


def describe() -> str:
    """Describe the processors in words."""
    count, own = processors(), cores()
    there = len(_usable()) or count
    if count < there:
        return f"{count} of {there} processors, by the container's limit"
    if own is None:
        return f"{count} processors (cores or threads of them: not known here)"
    if own == count:
        return f"{count} processors, each a core of its own"
    return f"{count} processors: threads of {own} cores"


def model() -> str:
    """Return the processors' model as the system names it; empty where nothing tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def give_way() -> None:
    """Let all else on the machine go before the thread that calls.

    Only Linux has this for a single thread.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _allowed() -> int | None:
    """Return the processors that the container's limit stands for, rounded up; None without one.

    The file is the one of Linux' control groups, version 2.
    """
    try:
        quota, _, period = _QUOTA.read_text(encoding="ascii").strip().partition(" ")
        return -(-int(quota) // int(period or 100_000))
    except (OSError, ValueError, ZeroDivisionError):
        return None  # without a limit the first word is "max"


def _usable() -> set[int]:
    return os.sched_getaffinity(0) if sys.platform == "linux" else set()
