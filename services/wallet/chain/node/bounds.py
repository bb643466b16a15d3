"""The largest size of a node's answers, by method.

The bounds are several times what legal answers need. They are small enough that reading the largest
answers of several nodes at once needs less than 100 MiB.

Measured on a real network: a transaction with a call 11 KB, one with 25 harvests 120 KB; an event
1.3 KB; an entry 1 KB, a contract's code 64 KiB in base64; a simulation of 25 harvests 67 KB.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_KIB, _MIB = 2**10, 2**20


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of one answer."""

    #: Bytes at most, on the wire and unpacked.
    size: int
    #: Commas and opening brackets at most: about as many objects are made of the answer.
    marks: int


#: Bounds of answers with a few numbers.
_SMALL = Bounds(size=64 * _KIB, marks=2_000)

_BOUNDS: Mapping[str, Bounds] = {
    "getLedgerEntries": Bounds(size=2 * _MIB, marks=10_000),
    "getTransaction": Bounds(size=2 * _MIB, marks=10_000),
    "getTransactions": Bounds(size=8 * _MIB, marks=60_000),
    "getEvents": Bounds(size=4 * _MIB, marks=40_000),
    "simulateTransaction": Bounds(size=2 * _MIB, marks=20_000),
    "sendTransaction": Bounds(size=1 * _MIB, marks=10_000),
}


def bounds_of(method: str) -> Bounds:
    """Return the bounds of a method's answers."""
    return _BOUNDS.get(method, _SMALL)
