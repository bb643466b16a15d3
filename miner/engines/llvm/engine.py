"""The engine that hashes on vectors of this processor."""

import ctypes
import struct
import threading
from collections.abc import Sequence

from miner.engine import Appetite, Hit, Scan, Slice
from miner.engines import selfcheck
from miner.engines.llvm.cache import ObjectCache
from miner.engines.llvm.compiler import Loaded, NativeScan, load
from miner.engines.llvm.cpu import Cpu, kind_of, shape_for, this_cpu
from miner.engines.llvm.kernel import SLICE_WORDS, Shape
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
        return f"llvm ({kind_of(self._cpu)}, {self._shape.lanes} lanes)"

    @property
    def appetite(self) -> Appetite:
        """Return what it wants to be given."""
        return Appetite(
            threads=self._threads, hashes=50_000, seconds=0.02, least=2 * self._shape.lanes
        )

    def warm(self) -> None:
        """Compile and load; then check that it hashes as the judge does. Raise WrongFindError."""
        with self._loading:
            if self._loaded is None:
                loaded = load(self._cpu, self._shape, self._cache)
                selfcheck.check(LlvmScanner(loaded.scan, selfcheck.PIECE))
                self._loaded = loaded

    def scanner(self, work: Work) -> "LlvmScanner":
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
        self._prepared: set[int] = set()
        self._slices = (ctypes.c_uint64 * (SLICE_WORDS * _ROOM))()
        self._results = memoryview(self._slices).cast("B").cast("Q")
        self._stopped = ctypes.c_uint64(0)

    def scan(self, slices: Sequence[Slice]) -> Scan:
        """Try the nonces of all slices in as few native calls as their room allows."""
        hashes = 0
        hits: list[Hit] = []
        for start in range(0, len(slices), _ROOM):
            part = slices[start : start + _ROOM]
            self._write(part)
            self._native(
                ctypes.addressof(self._words),
                ctypes.addressof(self._slices),
                len(part),
                ctypes.addressof(self._stopped),
            )
            tried, good = self._read(len(part))
            hashes += sum(tried)
            hits += [
                Hit(piece.target, piece.first + count - 1)
                for piece, count, is_good in zip(part, tried, good, strict=True)
                if is_good
            ]
        return Scan(hashes, hits)

    def stop(self) -> None:
        """End the scan that runs and all later ones: the native code looks after each vector."""
        self._stopped.value = 1

    def close(self) -> None:
        """Do nothing: memory goes with the object."""

    def _write(self, slices: Sequence[Slice]) -> None:
        fields: list[int] = []
        for piece in slices:
            if piece.target not in self._prepared:
                self._prepare(piece.target)
            fields += (*piece, 0, 0)
        struct.pack_into(f"={len(fields)}Q", self._slices, 0, *fields)

    def _prepare(self, target: int) -> None:
        work = self._work
        words = prepared_words(work.index, work.entropy, work.targets[target].key)
        struct.pack_into(f"={_WORDS}Q", self._words, target * _WORDS * _BYTES, *words)
        self._prepared.add(target)

    def _read(self, count: int) -> tuple[list[int], list[int]]:
        end = count * SLICE_WORDS
        results = self._results
        return results[4:end:SLICE_WORDS].tolist(), results[5:end:SLICE_WORDS].tolist()
