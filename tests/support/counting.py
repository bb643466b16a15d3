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


@contextmanager
def counted_calls() -> Iterator[Calls]:
    """Count the calls that this thread makes while the block runs."""
    calls, before = Calls(), sys.getprofile()

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        if event in {"call", "c_call"}:
            calls.count += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)
