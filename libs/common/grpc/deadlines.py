"""Deadlines: every outgoing call asks this module for the time left.

Python does not pass deadlines on.
"""

from contextvars import ContextVar
from time import monotonic

#: Part of a caller's remaining time that is kept for the answer's way back, in seconds.
MARGIN = 0.1

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_deadline(seconds: float | None) -> None:
    """Make the running call end within `seconds`; None for work that no caller waits for."""
    _deadline.set(None if seconds is None else monotonic() + seconds)


def remaining(cap: float) -> float:
    """Return the seconds that an outgoing call may take.

    They are the call's cap, or what the caller's deadline leaves.
    """
    deadline = _deadline.get()
    if deadline is None:
        return cap
    return max(0.0, min(cap, deadline - monotonic() - MARGIN))
