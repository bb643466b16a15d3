"""Calls that a process makes as fast as they are answered, for some seconds: a turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What was measured of one server in one turn."""

    #: Answered calls per second.
    rate: float
    #: Median of the calls' milliseconds.
    p50_ms: float
    #: 99th percentile of the calls' milliseconds.
    p99_ms: float
    #: Microseconds of CPU of the called process for each call.
    cpu_us: float


def turn_of(told: Mapping[str, float], *, cpu_seconds: float) -> Turn:
    """Return what the calling process told (`calls`, `seconds`, `p50_ms`, `p99_ms`) as a turn."""
    return Turn(
        rate=told["calls"] / told["seconds"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        cpu_us=cpu_seconds / told["calls"] * 1e6,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
