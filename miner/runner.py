"""A thread that works with one engine on a search, until it is stopped or all have enough."""

import threading
from collections.abc import Callable, Sequence
from time import monotonic, thread_time
from typing import Protocol

from miner.engine import Appetite, Engine, Scan, Scanner, Slice
from miner.model import Work
from miner.pace import Pace
from miner.processors import give_way


class Shared(Protocol):
    """What all runners of a search share; its methods may be called from any thread."""

    @property
    def work(self) -> Work:
        """Return the block and the farmers."""

    @property
    def open(self) -> int:
        """Return how much there is left to do; 0: nothing."""

    def take(self, hashes: int, appetite: Appetite) -> list[Slice]:
        """Return the next slices for an engine; none: there is nothing left to do."""

    def put(self, slices: Sequence[Slice], scan: Scan, appetite: Appetite) -> None:
        """Take what an engine found in slices. Raise WrongFindError."""

    def count(self, name: str, hashes: int, cpu_seconds: float) -> None:
        """Add what an engine hashed, and what it took of processors."""


class Runner:
    """A thread that takes slices from the board and puts finds on it."""

    def __init__(
        self,
        engine: Engine,
        board: Shared,
        ended: Callable[["Runner", Exception | None], None],
        *,
        every: bool,
    ) -> None:
        """Take what is called at the end, in the thread, with the error that ended it."""
        self.engine = engine
        self._board = board
        self._ended = ended
        self._every = every
        self._lock = threading.Lock()
        self._scanner: Scanner | None = None
        self._is_stopped = False
        # A driver that hangs must not keep the process.
        self._thread = threading.Thread(target=self._run, name=engine.name, daemon=True)

    def start(self) -> None:
        """Begin to search."""
        self._thread.start()

    def stop(self) -> None:
        """End the search soon, from any thread."""
        with self._lock:
            self._is_stopped = True
            if self._scanner is not None:
                self._scanner.stop()

    def _run(self) -> None:
        give_way()
        try:
            self._search()
        except Exception as error:
            self._ended(self, error)
        else:
            self._ended(self, None)

    def _search(self) -> None:
        self.engine.warm()
        scanner = self.engine.scanner(self._board.work, every=self._every)
        try:
            with self._lock:
                self._scanner = scanner
            self._scan(scanner)
        finally:
            with self._lock:
                self._scanner = None
            scanner.close()

    def _scan(self, scanner: Scanner) -> None:
        appetite = self.engine.appetite
        pace = Pace(appetite)
        spent = thread_time()
        while not self._is_stopped and (slices := self._board.take(pace.hashes, appetite)):
            began = monotonic()
            scan = scanner.scan(slices)
            pace.took(scan.hashes, monotonic() - began)
            self._board.put(slices, scan, appetite)
            before, spent = spent, thread_time()
            own = spent - before if appetite.is_own_thread else 0.0
            self._board.count(self.engine.name, scan.hashes, own)
