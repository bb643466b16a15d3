"""The nonce search of one worker process: `python -m pooler.search`.

A job comes as one JSON line on standard input, finds go out as JSON lines on standard output. The
process ends when its time is over, when it is killed, or when standard input closes, so a pooler
that dies leaves no worker behind. The search is a program of its own, not a fork, because gRPC does
not survive forks.
"""

import json
import os
import secrets
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from time import monotonic

import sha3

from libs.kale.hash import leading_zeros, work_hash

#: Nonces are tried in rows of 256 that share their upper 56 bits.
_ROW = 256
_ROWS = 1 << 56
#: Rows that one farmer gets before it is the next one's turn: about 2 ms.
_TURN = 16
#: More than any digest, for a farmer that has no nonce yet.
_ANY = b"\xff" * 33
#: Seconds between two progress reports.
_REPORT_SECONDS = 0.25
#: The search gives way to everything else on the machine.
_NICENESS = 10


@dataclass(frozen=True, kw_only=True)
class Job:
    """The search of one worker."""

    #: Index of the block.
    index: int
    #: Entropy of the block, 32 bytes in hex.
    entropy: str
    #: Key of each farmer, 32 bytes in hex; finds refer to the position in this list.
    keys: list[str]
    #: Time budget; every farmer gets a nonce even when it is 0.
    seconds: float
    #: A farmer with this many zeros is not searched for any more.
    enough_zeros: int


@dataclass(frozen=True, kw_only=True)
class Find:
    """A nonce with more zeros than this worker had for the farmer."""

    #: Position of the farmer in the job.
    target: int
    #: The nonce.
    nonce: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of the worker."""

    #: Hashes computed since it began.
    hashes: int


def search(
    job: Job, *, stopped: Callable[[], bool], clock: Callable[[], float] = monotonic
) -> Iterator[Find | Progress]:
    """Search in turns of equal length for all farmers, until time is over or all have enough."""
    ends_at, reports_at = clock() + job.seconds, clock() + _REPORT_SECONDS
    lanes = deque(_Lane(job, target) for target in range(len(job.keys)))
    hashes = len(lanes)
    for lane in lanes:
        yield lane.first()
    # Several workers share the farmers: the farmers that the last round leaves out are random.
    lanes.rotate(secrets.randbelow(len(lanes) or 1))
    while lanes and clock() < ends_at and not stopped():
        lane = lanes.popleft()
        if lane.zeros >= job.enough_zeros:
            continue
        yield from lane.turn()
        hashes += _ROW * _TURN
        lanes.append(lane)
        if clock() >= reports_at:
            yield Progress(hashes=hashes)
            reports_at = clock() + _REPORT_SECONDS
    yield Progress(hashes=hashes)


class _Lane:
    """One farmer's search; it begins at a random nonce, so two poolers do not repeat each other."""

    def __init__(self, job: Job, target: int) -> None:
        self._index = job.index
        self._entropy = bytes.fromhex(job.entropy)
        self._key = bytes.fromhex(job.keys[target])
        self._target = target
        self._row = secrets.randbelow(_ROWS)
        #: Most zeros found so far.
        self.zeros = -1

    def first(self) -> Find:
        """Try one nonce, so that every farmer has a nonce however short the time is."""
        nonce = secrets.randbits(64)
        digest = work_hash(
            index=self._index, nonce=nonce, entropy=self._entropy, farmer_key=self._key
        )
        self.zeros = leading_zeros(digest)
        return Find(target=self._target, nonce=nonce)

    def turn(self) -> Iterator[Find]:
        """Try the next rows and yield each nonce that is better than all before."""
        head = self._index.to_bytes(4, "big")
        tails = [bytes((low,)) + self._entropy + self._key for low in range(_ROW)]
        for row in range(self._row, self._row + _TURN):
            upper = (row % _ROWS).to_bytes(7, "big")
            for low, digest in _scan(head + upper, tails, below=_bound(self.zeros)):
                if leading_zeros(digest) > self.zeros:
                    self.zeros = leading_zeros(digest)
                    yield Find(target=self._target, nonce=int.from_bytes(upper, "big") << 8 | low)
        self._row += _TURN


def _scan(head: bytes, tails: list[bytes], *, below: bytes) -> list[tuple[int, bytes]]:
    """Return positions and digests of the tails whose hash is less than `below`.

    Copying a state that has absorbed the head is the fastest of the plain ways measured: 2.0
    million hashes a second on one core, against 1.8 for `keccak_256(head + tail)` and 1.5 when the
    nonce is packed for each hash.
    """
    begun = sha3.keccak_256(head)
    hits = []
    for low, tail in enumerate(tails):
        state = begun.copy()
        state.update(tail)
        digest = state.digest()
        if digest < below:
            hits.append((low, digest))
    return hits


def _bound(zeros: int) -> bytes:
    """Return the bound of digests with more than `zeros` leading zero digits.

    A digest has more of them just when it is less than the bound.
    """
    if zeros < 0:
        return _ANY
    return (1 << 4 * (63 - zeros)).to_bytes(32, "big") if zeros < 64 else b""


def main() -> None:
    """Read the job, search, write the finds; the parent's death ends the search."""
    # Ctrl-C goes to the whole terminal group; the parent decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    job = Job(**json.loads(sys.stdin.readline()))
    orphaned = threading.Event()
    threading.Thread(target=_watch, args=(orphaned,), daemon=True).start()
    try:
        for message in search(job, stopped=orphaned.is_set):
            sys.stdout.write(json.dumps(asdict(message)) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        # Nobody listens any more; a second failure while Python flushes at exit must not be shown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _watch(orphaned: threading.Event) -> None:
    sys.stdin.read()
    orphaned.set()


if __name__ == "__main__":
    main()
