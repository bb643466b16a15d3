"""A measure of work in calls, which is the same on every machine, however fast or busy."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Calls:
    """The count of called functions, Python's and C's."""

    #: Number of calls so far.
    count: int = 0


class TooManyCallsError(Exception):
    """A block made more calls than it may: it would not come to an end."""


@contextmanager
def counted_calls(*, most: int | None = None) -> Iterator[Calls]:
    """Count the calls that this thread makes while the block runs.

    Raises TooManyCallsError within the block at the first call beyond `most`.
    """
    calls, before = Calls(), sys.getprofile()

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        if event in {"call", "c_call"}:
            calls.count += 1
            if most is not None and calls.count > most:
                raise TooManyCallsError(f"more than {most} calls")

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)
