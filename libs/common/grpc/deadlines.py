"""Deadlines: Python does not pass them on, so every outgoing call asks here what is left."""

from contextvars import ContextVar
from time import monotonic

#: Part of a caller's remaining time that is kept for the answer's way back, in seconds.
MARGIN = 0.1

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_deadline(seconds: float | None) -> None:
    """The running call must end within `seconds`; None for work that no caller waits for."""
    _deadline.set(None if seconds is None else monotonic() + seconds)


def remaining(cap: float) -> float:
    """Seconds that an outgoing call may take: its cap, or what the caller's deadline leaves."""
    deadline = _deadline.get()
    if deadline is None:
        return cap
    return max(0.0, min(cap, deadline - monotonic() - MARGIN))
