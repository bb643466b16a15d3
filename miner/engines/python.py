"""The engine that is always there: safe-pysha3, one hash at a time."""

import threading
import time
from collections.abc import Iterator, Sequence

import sha3

from miner.engine import Appetite, Hit, Scan, Slice
from miner.judge import most_head
from miner.model import Work

#: Nonces are tried in rows of 256 that share their upper 56 bits.
_ROW = 256


class PythonEngine:
    """An engine on one thread, as safe-pysha3 keeps the interpreter for itself while it hashes."""

    name = "python"
    appetite = Appetite(threads=1, hashes=4_096, seconds=0.01, least=1)

    def warm(self) -> None:
        """Do nothing: it is ready."""

    def scanner(self, work: Work, *, every: bool = False) -> "PythonScanner":
        """Return a scanner for a block."""
        return PythonScanner(work)


class PythonScanner:
    """The search of one thread; a slice ends at its first hit."""

    def __init__(self, work: Work) -> None:
        """Take the block and its farmers."""
        self._head = work.index.to_bytes(4, "big")
        self._tails = [work.entropy + target.key for target in work.targets]
        self._stopped = threading.Event()

    def scan(self, slices: Sequence[Slice]) -> Scan:
        """Try the nonces of all slices."""
        tried, hits = 0, []
        for piece in slices:
            for count, nonce in self._rows(piece):
                tried += count
                if nonce is not None:
                    hits.append(Hit(piece.target, nonce))
                    break
        return Scan(tried, hits)

    def _rows(self, piece: Slice) -> Iterator[tuple[int, int | None]]:
        """Yield how many nonces of each row were tried, and its first good one."""
        bound = (piece.at_most + 1).to_bytes(9, "big")[1:] if piece.at_most < most_head(0) else None
        tail = self._tails[piece.target]
        at, end = piece.first, piece.first + piece.nonces
        while at < end and not self._stopped.is_set():
            stop = min(end, at - at % _ROW + _ROW)
            good = _first(self._head + (at >> 8).to_bytes(7, "big"), tail, at, stop, bound)
            yield (stop if good is None else good + 1) - at, good
            at = stop
            # Whoever waits for the interpreter, such as an event loop, goes first.
            time.sleep(0)

    def stop(self) -> None:
        """End the scan that runs and all later ones."""
        self._stopped.set()

    def close(self) -> None:
        """Do nothing: it holds nothing."""


def _first(head: bytes, tail: bytes, start: int, stop: int, bound: bytes | None) -> int | None:
    """Return the first nonce of a row whose hash is less than `bound`; None: every hash is.

    Copying a state that has absorbed the head is the fastest of the plain ways measured: 2.0
    million hashes a second on one core, against 1.8 for `keccak_256(head + tail)` and 1.5 when the
    nonce is packed for each hash.
    """
    begun = sha3.keccak_256(head)
    for nonce in range(start, stop):
        state = begun.copy()
        state.update(bytes((nonce & 0xFF,)) + tail)
        if bound is None or state.digest() < bound:
            return nonce
    return None
