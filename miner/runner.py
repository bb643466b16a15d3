"""A thread that works with one engine on a search, until it is stopped or all have enough."""

import threading
from collections.abc import Callable
from time import monotonic, thread_time

from miner.board import Board
from miner.engine import Engine, Scanner
from miner.pace import Pace
from miner.processors import give_way


class Runner:
    """A thread that takes slices from the board and puts finds on it."""

    def __init__(
        self, engine: Engine, board: Board, ended: Callable[["Runner", Exception | None], None]
    ) -> None:
        """Take what is called at the end, in the thread, with the error that ended it."""
        self.engine = engine
        self._board = board
        self._ended = ended
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
        scanner = self.engine.scanner(self._board.work)
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
            self._board.put(slices, scan)
            before, spent = spent, thread_time()
            own = spent - before if appetite.is_own_thread else 0.0
            self._board.count(self.engine.name, scan.hashes, own)
