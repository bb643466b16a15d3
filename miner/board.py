"""What all devices of a search share: whose turn it is, the best finds, the hashes."""

import secrets
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from miner.engine import Appetite, Scan, Slice
from miner.judge import found, judge
from miner.model import Find, Rates, Work
from miner.schedule import NONCES, Schedule

#: Whose hashes the first nonces are: the judge's.
_FIRST = "judge"


class Board:
    """The shared state of a search; every method may be called from any thread."""

    def __init__(self, work: Work, tell: Callable[[Find], None]) -> None:
        """Take the work; `tell` hears of each improvement, in the thread that found it."""
        self.work = work
        self._tell = tell
        self._lock = threading.Lock()
        self._schedule = Schedule([target.zeros for target in work.targets], work.cap)
        self._hashes: dict[str, int] = {}
        self._cpu_seconds: dict[str, float] = {}
        self._began = monotonic()
        self._best: dict[int, Find] = {}

    @property
    def seconds(self) -> float:
        """Return the seconds since the search began."""
        return monotonic() - self._began

    @property
    def open(self) -> int:
        """Return how many farmers are still searched for."""
        with self._lock:
            return self._schedule.open

    def best_finds(self) -> dict[int, Find]:
        """Return the best find of this search for each farmer that has one."""
        with self._lock:
            return dict(self._best)

    def first_nonces(self) -> None:
        """Try one nonce for each farmer that has none: no farmer ends without one."""
        missing = [at for at, target in enumerate(self.work.targets) if target.zeros < 0]
        for target in missing:
            self._keep(found(self.work, target, secrets.randbelow(NONCES)))
        self.count(_FIRST, len(missing), 0.0)

    def take(self, hashes: int, appetite: Appetite) -> list[Slice]:
        """Return the next slices for an engine; none: every farmer has enough."""
        with self._lock:
            return self._schedule.take(hashes, appetite)

    def put(self, slices: Sequence[Slice], scan: Scan, _appetite: Appetite) -> None:
        """Judge what an engine found in slices. Raise WrongFindError at the first wrong one."""
        asked = {piece.target: piece for piece in slices}
        for hit in scan.hits:
            self._keep(judge(self.work, asked.get(hit.target), hit))

    def offer(self, target: int, zeros: int) -> bool:
        """Take that somebody else has a nonce with so many zeros; tell whether that is news."""
        with self._lock:
            return self._schedule.offer(target, zeros)

    def _keep(self, find: Find) -> None:
        with self._lock:
            if not self._schedule.offer(find.target, find.zeros):
                return
            self._best[find.target] = find
        self._tell(find)

    def count(self, name: str, hashes: int, cpu_seconds: float) -> None:
        """Add what an engine hashed, and what it took of processors."""
        with self._lock:
            self._hashes[name] = self._hashes.get(name, 0) + hashes
            self._cpu_seconds[name] = self._cpu_seconds.get(name, 0.0) + cpu_seconds

    def rates(self) -> dict[str, Rates]:
        """Return what each engine hashed since the search began."""
        seconds = self.seconds
        with self._lock:
            return {
                name: Rates(hashes=hashes, seconds=seconds, cpu_seconds=self._cpu_seconds[name])
                for name, hashes in self._hashes.items()
            }
