"""The engine that hashes on vectors of this processor."""

import ctypes
import struct
import threading
from collections.abc import Sequence
from itertools import chain

from miner.engine import Appetite, Hit, Scan, Slice
from miner.engines import selfcheck
from miner.engines.llvm.cache import ObjectCache
from miner.engines.llvm.compiler import Loaded, NativeScan, load
from miner.engines.llvm.cpu import Cpu, kind_of, shape_for, this_cpu
from miner.engines.llvm.kernel import RESULT_WORDS, SLICE_WORDS, Shape
from miner.keccak import prepared_words
from miner.model import Work

#: Slices of one call at most.
_ROOM = 4_096
_WORDS = 25
_BYTES = 8


class LlvmEngine:
    """An engine with one thread per processor; the native code runs without the GIL."""

    def __init__(
        self,
        threads: int,
        cache: ObjectCache,
        *,
        cpu: Cpu | None = None,
        shape: Shape | None = None,
    ) -> None:
        """Take the threads, and another processor or shape than this machine's for trials."""
        self._cpu = cpu or this_cpu()
        self._shape = shape or shape_for(self._cpu)
        self._cache = cache
        self._threads = threads
        self._loaded: Loaded | None = None
        self._loading = threading.Lock()

    @property
    def name(self) -> str:
        """Return its name with the vectors that it uses."""
        return f"llvm {kind_of(self._cpu)}"

    @property
    def appetite(self) -> Appetite:
        """Return what it wants to be given."""
        return Appetite(
            threads=self._threads, hashes=2_000, seconds=0.02, least=2 * self._shape.lanes
        )

    def warm(self) -> None:
        """Compile and load; then check that it hashes as the judge does. Raise WrongFindError."""
        with self._loading:
            if self._loaded is None:
                loaded = load(self._cpu, self._shape, self._cache)
                selfcheck.check(LlvmScanner(loaded.scan, selfcheck.PIECE))
                self._loaded = loaded

    def scanner(self, work: Work, *, every: bool = False) -> "LlvmScanner":
        """Return a scanner for a block."""
        self.warm()
        assert self._loaded is not None  # noqa: S101  (warm has loaded it, or raised)
        return LlvmScanner(self._loaded.scan, work)


class LlvmScanner:
    """The search of one thread; a slice ends at its first hit."""

    def __init__(self, native: NativeScan, work: Work) -> None:
        """Take the block and its farmers; their words are prepared when they are first needed."""
        self._native = native
        self._work = work
        self._words = (ctypes.c_uint64 * (_WORDS * len(work.targets)))()
        self._unprepared = set(range(len(work.targets)))
        self._slices = (ctypes.c_uint64 * (SLICE_WORDS * _ROOM))()
        self._results = (ctypes.c_uint64 * (RESULT_WORDS * _ROOM))()
        self._read = memoryview(self._results).cast("B").cast("Q")
        self._stopped = ctypes.c_uint64(0)

    def scan(self, slices: Sequence[Slice]) -> Scan:
        """Try the nonces of all slices in as few native calls as their room allows."""
        hashes = 0
        hits: list[Hit] = []
        for start in range(0, len(slices), _ROOM):
            part = slices[start : start + _ROOM]
            tried, good = self._scan(part)
            hashes += sum(tried)
            if 1 in good:
                hits += [
                    Hit(piece.target, piece.first + count - 1)
                    for piece, count, is_good in zip(part, tried, good, strict=False)
                    if is_good
                ]
        return Scan(hashes, hits)

    def stop(self) -> None:
        """End the scan that runs and all later ones: the native code looks after each vector."""
        self._stopped.value = 1

    def close(self) -> None:
        """Do nothing: memory goes with the object."""

    def _scan(self, slices: Sequence[Slice]) -> tuple[list[int], list[int]]:
        """Return the nonces tried in each slice that was come to, and 1 where the last is good."""
        if self._unprepared:
            self._prepare({piece.target for piece in slices} & self._unprepared)
        words = SLICE_WORDS * len(slices)
        struct.pack_into(f"={words}Q", self._slices, 0, *chain.from_iterable(slices))
        done = self._native(
            ctypes.addressof(self._words),
            ctypes.addressof(self._slices),
            ctypes.addressof(self._results),
            len(slices),
            ctypes.addressof(self._stopped),
        )
        end = RESULT_WORDS * done
        return self._read[0:end:2].tolist(), self._read[1:end:2].tolist()

    def _prepare(self, targets: set[int]) -> None:
        work = self._work
        for target in targets:
            words = prepared_words(work.index, work.entropy, work.targets[target].key)
            struct.pack_into(f"={_WORDS}Q", self._words, target * _WORDS * _BYTES, *words)
        self._unprepared -= targets
