"""Jobs: who gets which nonces of which farmer, and at which difficulty."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pooler.shares.block import RunningBlock
from pooler.shares.domain.difficulty import BLOCK_SECONDS, Bounds
from pooler.shares.domain.errors import PausedError
from pooler.shares.domain.jobs import MOST_NONCES, Job, JobSigner
from pooler.shares.domain.points import DIGITS, hashes_of, target_of
from pooler.shares.round import Round
from pooler.shares.workers import LiveWorker

#: Nonces of a job at least: asking for the next one must not cost more than they do.
_FEWEST_NONCES = 1 << 20
#: Milliseconds after which a worker had better ask again: another farmer may have fewer zeros, and
#: its difficulty may be lower.
ASK_AGAIN_MS = 60_000
#: Programs that are started for one share get a whole, even number of zeros: there is one that
#: misses a hit in 16 at odd ones.
_EVEN = 2


@dataclass(frozen=True, kw_only=True)
class Work:
    """A job with all that a miner needs to do it."""

    #: The job, and its token.
    job: Job
    token: str
    #: What goes into each hash.
    entropy: bytes
    farmer: str
    farmer_key: bytes
    #: Zeros above which the farmer needs none.
    cap: int
    #: From when on the next block may be opened (unix seconds of the chain's clock).
    closes_at: float

    def content(self) -> Mapping[str, Any]:
        """Return the job as JSON shows it; numbers that may be beyond 2^53 are strings."""
        job = self.job
        return {
            "job": self.token,
            "block": job.block,
            "entropy": self.entropy.hex(),
            "farmer": self.farmer,
            "farmerKey": self.farmer_key.hex(),
            "firstNonce": str(job.first),
            "nonceCount": str(job.count),
            "target": str(job.target),
            "difficulty": str(hashes_of(job.target)),
            "cap": self.cap,
            "closesAt": int(self.closes_at),
            "expiresAt": job.ends_at,
            "askAgainMs": ASK_AGAIN_MS,
        }

    def line(self) -> str:
        """Return the job as arguments of a program: BLOCK ENTROPY_B64 NONCE DIFFICULTY G..."""
        job = self.job
        zeros = zeros_of_target(job.target)
        entropy = b64encode(self.entropy).decode()
        return f"{job.block} {entropy} {job.first} {zeros} {self.farmer}\n"


def zeros_of_target(target: int) -> int:
    """Return the zeros of a target that stands for a whole number of them."""
    return DIGITS - target.bit_length() // 4


def even_target(difficulty: int) -> int:
    """Return the target of the most zeros, an even number, that take no more hashes."""
    zeros = _EVEN
    while zeros + _EVEN <= DIGITS and 16 ** (zeros + _EVEN) <= difficulty:
        zeros += _EVEN
    return target_of(16**zeros)


class Jobs:
    """Gives out work."""

    def __init__(self, signer: JobSigner, bounds: Bounds) -> None:
        """Take what signs jobs, and the bounds of difficulty."""
        self._signer = signer
        self._bounds = bounds

    def give(
        self, running: Round, worker: LiveWorker, now: float, *, count: int, is_argv: bool = False
    ) -> list[Work]:
        """Return up to so many jobs of different nonces; raise PausedError when there are none.

        With `is_argv`, they are for programs that count up until they find a nonce.
        """
        target = even_target(worker.difficulty) if is_argv else worker.target
        found: list[Work] = []
        for _ in range(count):
            turn = running.turns.next()
            if turn is None:
                break
            position, zeros = turn
            nonces = MOST_NONCES if is_argv else self._nonces(worker, zeros)
            job = Job(
                worker=worker.number,
                block=running.index,
                farmer=running.farmers[position],
                issued_at=int(now),
                ends_at=running.ends_at(now),
                first=running.turns.nonces(position, nonces),
                count=nonces,
                target=target,
            )
            found.append(self._work(running.block, position, job))
        if not found:
            raise PausedError("all farmers have the zeros that count: wait for the next block")
        return found

    def _work(self, block: RunningBlock, position: int, job: Job) -> Work:
        farmer = block.targets[position]
        return Work(
            job=job,
            token=self._signer.seal(job),
            entropy=block.entropy,
            farmer=farmer.address,
            farmer_key=farmer.key,
            cap=block.cap,
            closes_at=block.closes_at,
        )

    def _nonces(self, worker: LiveWorker, zeros: int) -> int:
        """Return how many nonces a job has.

        So many that the farmer most likely has one more zero by then, but work for a second at
        least.
        """
        of_second = worker.difficulty * self._bounds.shares // BLOCK_SECONDS
        of_zero: int = 16 ** (zeros + 1)
        return min(max(of_zero, of_second, _FEWEST_NONCES), MOST_NONCES)
