"""How one engine is measured: alone, in all its threads, and in its small costs."""

import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from statistics import median
from time import monotonic, thread_time

from miner.engine import Engine, Scanner, Slice
from miner.judge import judge, most_head
from miner.model import Rates, Target, Work, WrongFindError
from miner.pace import Pace
from miner.roster import Roster
from miner.schedule import NONCES, Schedule
from miner.search import open_search

#: Farmers of a measurement: as many as a large pool has.
FARMERS = 1_000
#: Times that a small cost is measured; the least of them is the one without disturbance.
_TRIES = 7
#: Nonces of a slice where changes of farmers are counted.
_CHANGE_NONCES = 64


def some_work(farmers: int = FARMERS) -> Work:
    """Return a block with farmers that nobody knows; each has a nonce already."""
    targets = [Target(key=secrets.token_bytes(32), zeros=0) for _ in range(farmers)]
    return Work(index=secrets.randbits(32), entropy=secrets.token_bytes(32), targets=targets)


# Rates ----------------------------------------------------------------------------------------


def sample(engine: Engine, threads: int, seconds: float) -> Rates:
    """Return what so many threads hash in so many seconds, each for one farmer.

    Raise what the engine raises in one of them.
    """
    work = some_work(threads)
    start = threading.Barrier(threads)
    rates: list[Rates] = []
    errors: list[Exception] = []

    def run(target: int) -> None:
        try:
            with closing(engine.scanner(work)) as scanner:
                rates.append(_hash(scanner, engine, target, start, seconds))
        except threading.BrokenBarrierError:
            # Another thread has failed.
            return
        except Exception as error:
            errors.append(error)
            start.abort()

    running = [threading.Thread(target=run, args=(target,)) for target in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]
    return Rates(
        hashes=sum(one.hashes for one in rates),
        seconds=max(one.seconds for one in rates),
        cpu_seconds=sum(one.cpu_seconds for one in rates),
    )


def medians(samples: Sequence[Rates]) -> Rates:
    """Return rates whose two quotients are the medians of the samples' ones."""
    hashes = samples[0].hashes
    per_second = median(one.per_second for one in samples)
    per_cpu_second = median(one.per_cpu_second for one in samples)
    return Rates(
        hashes=hashes,
        seconds=hashes / per_second if per_second else 0.0,
        cpu_seconds=hashes / per_cpu_second if per_cpu_second else 0.0,
    )


def _hash(
    scanner: Scanner, engine: Engine, target: int, start: threading.Barrier, seconds: float
) -> Rates:
    pace = Pace(engine.appetite)
    # Until its pace is found nothing counts.
    _scan(scanner, pace, target, seconds / 5)
    start.wait()
    began, spent = monotonic(), thread_time()
    hashes = _scan(scanner, pace, target, seconds)
    own = thread_time() - spent if engine.appetite.is_own_thread else 0.0
    return Rates(hashes=hashes, seconds=monotonic() - began, cpu_seconds=own)


def _scan(scanner: Scanner, pace: Pace, target: int, seconds: float) -> int:
    """Scan nonces that are never good for so many seconds; return how many."""
    ends, hashes, first = monotonic() + seconds, 0, secrets.randbelow(NONCES)
    while (began := monotonic()) < ends:
        scan = scanner.scan([Slice(target, first, pace.hashes, most_head(16))])
        pace.took(scan.hashes, monotonic() - began)
        hashes += scan.hashes
        first += scan.hashes
    return hashes


# Small costs ----------------------------------------------------------------------------------


def change_seconds(engine: Engine) -> float | None:
    """Return the seconds of a processor that a change of farmer takes in the engine.

    That is what 1,000 short slices of 1,000 farmers take longer than one of one farmer with as many
    nonces. None where a slice is longer than that.
    """
    if engine.appetite.least > _CHANGE_NONCES:
        return None
    scanner = engine.scanner(some_work())
    first = secrets.randbelow(NONCES)
    short = [Slice(at, first, _CHANGE_NONCES, most_head(16)) for at in range(FARMERS)]
    long = [Slice(0, first, FARMERS * _CHANGE_NONCES, most_head(16))]
    # What is prepared once for a farmer and block is not a part of it.
    scanner.scan(short)
    for_many = _least_cpu_seconds(lambda: scanner.scan(short))
    for_one = _least_cpu_seconds(lambda: scanner.scan(long))
    scanner.close()
    return (for_many - for_one) / FARMERS


def schedule_seconds(engine: Engine) -> float:
    """Return the seconds of a processor that the schedule takes to name the next farmer."""
    schedule = Schedule([1] * FARMERS, 64)
    appetite = engine.appetite
    hashes = FARMERS * max(appetite.least, 16**2)
    return _least_cpu_seconds(lambda: schedule.take(hashes, appetite)) / FARMERS


def _least_cpu_seconds(function: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(_TRIES):
        spent = thread_time()
        function()
        least = min(least, thread_time() - spent)
    return least


async def first_hash_seconds(engine: Engine) -> float:
    """Return the seconds from a block to the first find of an engine that is ready.

    The farmers have no zeros yet, so the first find is one of the first sixteen hashes or so.
    """
    began = monotonic()
    async with open_search(some_work(), Roster([engine], engine), seconds=None) as search:
        await anext(search.improvements())
        return monotonic() - began


# Finds ----------------------------------------------------------------------------------------


def checked_finds(engine: Engine, wanted: int) -> tuple[int, int]:
    """Let an engine find so many nonces for all farmers; return how many, and how many wrong."""
    work = some_work()
    scanner = engine.scanner(work)
    nonces = max(engine.appetite.least, 64)
    count = wrong = first = 0
    while count < wanted:
        slices = [Slice(at, first, nonces, most_head(1)) for at in range(FARMERS)]
        asked = {piece.target: piece for piece in slices}
        for hit in scanner.scan(slices).hits:
            try:
                judge(work, asked.get(hit.target), hit)
            except WrongFindError:
                wrong += 1
            count += 1
        first += nonces
    scanner.close()
    return count, wrong
