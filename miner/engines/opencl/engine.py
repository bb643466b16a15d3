"""The engine that hashes on one OpenCL device, many farmers in a launch."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyopencl as cl

from miner.engine import Appetite, Hit, Scan, Slice
from miner.engines import selfcheck
from miner.engines.opencl.source import source
from miner.keccak import prepared_words
from miner.model import EngineFailedError, EngineUnavailableError, Work

#: Hits of one launch that are told; more there are only while every farmer has next to no zeros.
_ROOM = 65_536
#: Items of a group: a multiple of what GPUs run in step.
_GPU_GROUP, _GPU_PER_ITEM = 64, 64
_CPU_GROUP, _CPU_PER_ITEM = 16, 64
_Array = np.ndarray[Any, np.dtype[np.uint64]]


class OpenClEngine:
    """One device; its program is compiled once, launches are made by one thread."""

    def __init__(self, device: cl.Device, number: int) -> None:
        """Take a device, and its number among those that are used."""
        self._device = device
        self._number = number
        is_cpu = bool(device.type & cl.device_type.CPU)
        self._group, self._per_item = (
            (_CPU_GROUP, _CPU_PER_ITEM) if is_cpu else (_GPU_GROUP, _GPU_PER_ITEM)
        )
        self._lock = threading.Lock()
        self._context: cl.Context | None = None
        self._program: cl.Program | None = None

    @property
    def name(self) -> str:
        """Return its number and the device's own name."""
        return f"opencl {self._number}: {self._device.name.strip()}"

    @property
    def appetite(self) -> Appetite:
        """Return what it wants: slices that are a part of an expected find, as none ends early."""
        least = self._group * self._per_item
        return Appetite(
            threads=1,
            hashes=64 * least,
            seconds=0.05,
            least=least,
            divisor=8,
            is_own_thread=False,
        )

    def warm(self) -> None:
        """Compile for the device, then compare with the judge.

        Raise EngineUnavailableError when the device does not take the kernel, WrongFindError when
        it does not hash right.
        """
        with self._lock:
            if self._program is not None:
                return
            try:
                context = cl.Context([self._device])
                text = source(per_item=self._per_item, group=self._group)
                program = cl.Program(context, text).build()
            except cl.Error as error:
                raise EngineUnavailableError(f"{self.name}: {error}") from error
            check = OpenClScanner(self, context, program, selfcheck.PIECE, tell_all=True)
            selfcheck.check(check)
            self._context, self._program = context, program

    def scanner(self, work: Work, *, every: bool = False) -> "OpenClScanner":
        """Return a scanner for a block. Raise EngineFailedError when the device fails."""
        self.warm()
        assert self._context is not None  # noqa: S101  (warm has made both, or raised)
        assert self._program is not None  # noqa: S101
        return OpenClScanner(self, self._context, self._program, work, tell_all=every)

    def groups_of(self, nonces: int) -> int:
        """Return the groups of items that try so many nonces."""
        return -(-nonces // (self._group * self._per_item))

    @property
    def group(self) -> int:
        """Return the items of a group."""
        return self._group


class OpenClScanner:
    """The launches of one block."""

    def __init__(
        self,
        engine: OpenClEngine,
        context: cl.Context,
        program: cl.Program,
        work: Work,
        *,
        tell_all: bool = False,
    ) -> None:
        """Take the block and its farmers.

        Of each slice the best hit is told, or every one. Raise EngineFailedError.
        """
        self._engine = engine
        self._context = context
        self._tell_all = tell_all
        self._stopped = threading.Event()
        try:
            self._queue = cl.CommandQueue(context)
            self._kernel = cl.Kernel(program, "scan")
            self._words = self._copied(_words(work))
            self._found = cl.Buffer(context, cl.mem_flags.READ_WRITE, 4)
            self._hits = cl.Buffer(context, cl.mem_flags.WRITE_ONLY, 3 * 8 * _ROOM)
        except cl.Error as error:
            raise EngineFailedError(f"{engine.name}: {error}") from error

    def scan(self, slices: Sequence[Slice]) -> Scan:
        """Try the nonces of all slices in one launch. Raise EngineFailedError."""
        if self._stopped.is_set() or not slices:
            return Scan(0, ())
        try:
            hits = self._launch(slices)
        except cl.Error as error:
            raise EngineFailedError(f"{self._engine.name}: {error}") from error
        told = hits if self._tell_all else _best(hits)
        found = [Hit(slices[int(at)].target, int(nonce)) for at, nonce, _ in told]
        return Scan(sum(piece.nonces for piece in slices), found)

    def stop(self) -> None:
        """Launch nothing more; what runs takes milliseconds."""
        self._stopped.set()

    def close(self) -> None:
        """Give the device's memory back."""
        for buffer in (self._words, self._found, self._hits):
            buffer.release()

    def _launch(self, slices: Sequence[Slice]) -> _Array:
        groups = np.array([self._engine.groups_of(piece.nonces) for piece in slices])
        before = np.cumsum(groups) - groups
        places = np.empty((int(groups.sum()), 2), dtype=np.uint32)
        places[:, 0] = np.repeat(np.arange(len(slices)), groups)
        places[:, 1] = np.arange(len(places)) - np.repeat(before, groups)
        zero = np.zeros(1, dtype=np.uint32)
        cl.enqueue_copy(self._queue, self._found, zero)
        self._kernel(
            self._queue,
            (len(places) * self._engine.group,),
            (self._engine.group,),
            self._words,
            self._copied(np.array(slices, dtype=np.uint64)),
            self._copied(places),
            self._found,
            self._hits,
            np.uint32(_ROOM),
        )
        cl.enqueue_copy(self._queue, zero, self._found)
        hits = np.empty((min(int(zero[0]), _ROOM), 3), dtype=np.uint64)
        if len(hits):
            cl.enqueue_copy(self._queue, hits, self._hits)
        return hits

    def _copied(self, values: np.ndarray[Any, Any]) -> cl.Buffer:
        flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
        # OpenCL has no empty buffers.
        content = values if values.size else np.zeros(1, dtype=np.uint64)
        return cl.Buffer(self._context, flags, hostbuf=np.ascontiguousarray(content))


def _words(work: Work) -> _Array:
    rows = [prepared_words(work.index, work.entropy, target.key) for target in work.targets]
    return np.array(rows, dtype=np.uint64)


def _best(hits: _Array) -> _Array:
    """Return the hit with the smallest head of each slice."""
    ordered = hits[np.lexsort((hits[:, 2], hits[:, 0]))]
    is_first = np.ones(len(ordered), dtype=bool)
    is_first[1:] = ordered[1:, 0] != ordered[:-1, 0]
    return ordered[is_first]
