"""Jobs of a pooler, and their nonces dealt out to the engines.

All hits of a job are wanted, whichever farmer they are for: each is a share.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from miner.engine import Appetite, Hit, Scan, Slice
from miner.judge import judge
from miner.model import Rates, Target, Work
from miner.pool.fields import PoolAnswerError, key_of, number_of, text_of

#: Nonces lie below this.
_ALL_NONCES = 2**64


@dataclass(frozen=True, kw_only=True)
class Job:
    """Nonces of one farmer in one block."""

    #: The token that goes with each share.
    token: str
    #: Index of the block, and its 32 bytes of entropy.
    block: int
    entropy: bytes
    #: The farmer's key, 32 bytes.
    key: bytes
    #: The first nonce, and how many there are.
    first: int
    nonces: int
    #: Heads up to this one make a share.
    target: int
    #: Hashes that a share takes on average.
    difficulty: int
    #: Until when shares may be brought, unix seconds of the pooler's clock.
    expires_at: int
    #: Seconds after which new jobs are to be asked for.
    ask_again_seconds: float


class Share(NamedTuple):
    """A nonce that makes a share."""

    #: Its job.
    job: Job
    #: The nonce.
    nonce: int


def jobs_of(content: object) -> list[Job]:
    """Read {"jobs": [...]}; raise PoolAnswerError with the field that is wrong."""
    listed = content.get("jobs") if isinstance(content, Mapping) else None
    if not isinstance(listed, list):
        raise PoolAnswerError("the pooler's answer has no list of jobs")
    jobs = [_job(one) for one in listed]
    if len({(job.block, job.entropy) for job in jobs}) > 1:
        raise PoolAnswerError("jobs: they are of several blocks")
    return jobs


def _job(content: object) -> Job:
    if not isinstance(content, Mapping):
        raise PoolAnswerError("jobs: a job is no object")
    first = number_of(content, "firstNonce", most=_ALL_NONCES - 1)
    return Job(
        token=text_of(content, "job"),
        block=number_of(content, "block", most=2**32 - 1),
        entropy=key_of(content, "entropy"),
        key=key_of(content, "farmerKey"),
        first=first,
        nonces=number_of(content, "nonceCount", least=1, most=_ALL_NONCES - first),
        target=number_of(content, "target", most=2**64 - 1),
        difficulty=number_of(content, "difficulty", most=2**64),
        expires_at=number_of(content, "expiresAt", most=2**53),
        ask_again_seconds=number_of(content, "askAgainMs", least=1, most=2**53) / 1000,
    )


class _Part(NamedTuple):
    """Nonces of a job that nobody has tried yet."""

    #: Position of the job.
    job: int
    first: int
    nonces: int


class JobBoard:
    """What all engines share while they search some jobs of one block."""

    def __init__(self, jobs: Sequence[Job], tell: Callable[[Share], None]) -> None:
        """Take jobs, one at least; `tell` hears of each share, in the thread that found it."""
        self._jobs = tuple(jobs)
        self._tell = tell
        keys = list(dict.fromkeys(job.key for job in jobs))
        self._place = [keys.index(job.key) for job in jobs]
        self.work = Work(
            index=jobs[0].block,
            entropy=jobs[0].entropy,
            targets=tuple(Target(key=key) for key in keys),
        )
        self._lock = threading.Lock()
        self._left = deque(_Part(at, job.first, job.nonces) for at, job in enumerate(jobs))
        #: Slices that are out, with their jobs: a hit is found among them.
        self._out: dict[Slice, int] = {}
        self._began = monotonic()
        self._rates: dict[str, tuple[int, float]] = {}

    @property
    def open(self) -> int:
        """Return how many nonces nobody has been given yet."""
        with self._lock:
            return sum(part.nonces for part in self._left)

    def take(self, hashes: int, appetite: Appetite) -> list[Slice]:
        """Return the next nonces of the first jobs; none: all are given out."""
        left = max(hashes, appetite.least)
        slices: list[Slice] = []
        with self._lock:
            while left > 0 and self._left and len(slices) < appetite.slices:
                at, first, nonces = self._left.popleft()
                count = min(nonces, left)
                if count < nonces:
                    self._left.appendleft(_Part(at, first + count, nonces - count))
                piece = Slice(self._place[at], first, count, self._jobs[at].target)
                self._out[piece] = at
                slices.append(piece)
                left -= count
        return slices

    def put(self, slices: Sequence[Slice], scan: Scan, appetite: Appetite) -> None:
        """Judge what an engine found; raise WrongFindError at the first wrong hit.

        Where a slice ended at its hit, its rest is dealt out again.
        """
        with self._lock:
            jobs = {piece: self._out.pop(piece) for piece in slices}
        for hit in scan.hits:
            piece = _slice_of(slices, hit)
            judge(self.work, piece, hit)
            if piece is None or not _has(piece, hit):
                # True, but beyond what was asked for: programs may search on.
                continue
            self._tell(Share(self._jobs[jobs[piece]], hit.nonce))
            rest = piece.first + piece.nonces - hit.nonce - 1
            if appetite.stops_at_hit and rest > 0:
                with self._lock:
                    self._left.appendleft(_Part(jobs[piece], hit.nonce + 1, rest))

    def count(self, name: str, hashes: int, cpu_seconds: float) -> None:
        """Add what an engine hashed, and what it took of processors."""
        with self._lock:
            before, spent = self._rates.get(name, (0, 0.0))
            self._rates[name] = before + hashes, spent + cpu_seconds

    def rates(self) -> dict[str, Rates]:
        """Return what each engine hashed since these jobs began."""
        seconds = monotonic() - self._began
        with self._lock:
            return {
                name: Rates(hashes=hashes, seconds=seconds, cpu_seconds=spent)
                for name, (hashes, spent) in self._rates.items()
            }


def _slice_of(slices: Sequence[Slice], hit: Hit) -> Slice | None:
    """Return the slice that a hit is in, else one of its farmer; None: there is no such one."""
    own = [piece for piece in slices if piece.target == hit.target]
    return next((piece for piece in own if _has(piece, hit)), own[0] if own else None)


def _has(piece: Slice, hit: Hit) -> bool:
    return piece.first <= hit.nonce < piece.first + piece.nonces
