"""Engines for tests: ones that find what the judge finds, and ones that fail in every way."""

import threading
from collections.abc import Callable, Sequence

from miner.engine import Appetite, Hit, Scan, Slice
from miner.engines.python import PythonEngine, PythonScanner
from miner.model import Work

#: What a scan of a fake does before it answers; gets the slices.
Deed = Callable[[Sequence[Slice]], Scan]


class FakeEngine:
    """An engine whose scans are a function; it counts what it was asked for."""

    def __init__(
        self,
        deed: Deed,
        *,
        name: str = "fake",
        threads: int = 1,
        warm: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.appetite = Appetite(threads=threads, hashes=64, seconds=0.001, least=1)
        self.warm = warm
        self.deed = deed
        #: Targets of the slices it was given.
        self.asked: set[int] = set()
        #: Scans that were begun.
        self.scans = 0
        #: Scanners that were made and not closed.
        self.opened = 0

    def scanner(self, work: Work, *, every: bool = False) -> "FakeScanner":
        self.opened += 1
        return FakeScanner(self)


class FakeScanner:
    """A scanner of a fake; `stopped` is set by stop."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.stopped = threading.Event()

    def scan(self, slices: Sequence[Slice]) -> Scan:
        self._engine.scans += 1
        self._engine.asked |= {piece.target for piece in slices}
        return self._engine.deed(slices)

    def stop(self) -> None:
        self.stopped.set()

    def close(self) -> None:
        self._engine.opened -= 1


def liar(slices: Sequence[Slice]) -> Scan:
    """Call the first nonce good, whatever it hashes to."""
    return Scan(1, [Hit(slices[0].target, slices[0].first)])


def idler(slices: Sequence[Slice]) -> Scan:
    """Find nothing."""
    return Scan(sum(piece.nonces for piece in slices), [])


def breaker(_slices: Sequence[Slice]) -> Scan:
    """Fail as libraries of devices do."""
    raise RuntimeError("the device is gone")


class CountedPython(PythonEngine):
    """The spare engine; it says how often it was taken."""

    def __init__(self) -> None:
        self.taken = 0

    def scanner(self, work: Work, *, every: bool = False) -> PythonScanner:
        self.taken += 1
        return super().scanner(work, every=every)
