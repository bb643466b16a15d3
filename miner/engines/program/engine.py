"""The engine that lets a program search, one farmer at a time."""

import threading
from collections.abc import Sequence

from miner.engine import Appetite, Hit, Scan, Slice
from miner.engines import selfcheck
from miner.engines.program.output import nonce_of, rate_of
from miner.engines.program.run import Ended, ProgramRun
from miner.engines.program.template import Order, Template
from miner.judge import found, head_of, most_head
from miner.model import EngineFailedError, EngineUnavailableError, MinerError, Work

#: Seconds of a run, after which a program that has found nothing is ended.
RUN_SECONDS = 10.0
#: Seconds below which a run was mostly start and end: it should have been asked for more zeros.
_SHORT_SECONDS = 1.0
#: Zeros that a program is asked for at first, and at most: a head tells no more.
_FIRST_ZEROS, _MOST_ZEROS = 5, 16
#: Nonces of the first run of a program that is told how many.
_FIRST_NONCES = 1_000_000
#: Nonces that are set apart for a run of a program that goes on until it finds one.
_ENOUGH_NONCES = 2**28
#: Seconds that the check of a program may take.
_CHECK_SECONDS = 60.0


class ProgramEngine:
    """A program of somebody else, run by one thread."""

    def __init__(
        self,
        template: Template,
        number: int,
        *,
        run_seconds: float = RUN_SECONDS,
        first_zeros: int = _FIRST_ZEROS,
    ) -> None:
        """Take how it is called, its number among the programs, and zeros to ask for at first."""
        self._template = template
        self._number = number
        self._run_seconds = run_seconds
        self._first_zeros = first_zeros
        self._lock = threading.Lock()
        self._is_checked = False

    @property
    def name(self) -> str:
        """Return its number and its own name."""
        return f"program {self._number}: {self._template.name}"

    @property
    def appetite(self) -> Appetite:
        """Return what it wants: one farmer for seconds, as each find costs a start."""
        return Appetite(
            threads=1,
            hashes=_FIRST_NONCES,
            seconds=self._run_seconds,
            least=_ENOUGH_NONCES if self._template.takes("zeros") else _FIRST_NONCES,
            slices=1,
            is_own_thread=False,
        )

    def warm(self) -> None:
        """Run it once for an easy nonce. Raise EngineUnavailableError when it has none."""
        with self._lock:
            if self._is_checked:
                return
            scanner = ProgramScanner(
                self._template, selfcheck.PIECE, run_seconds=_CHECK_SECONDS, zeros=1
            )
            easy = Slice(target=0, first=0, nonces=10_000, at_most=most_head(1))
            try:
                hits = scanner.scan([easy]).hits
            except MinerError as error:
                raise EngineUnavailableError(f"{self.name}: {error}") from error
            if not any(
                head_of(found(selfcheck.PIECE, *hit).digest) <= easy.at_most for hit in hits
            ):
                raise EngineUnavailableError(f"{self.name}: its nonce for an easy task is none")
            self._is_checked = True

    def scanner(self, work: Work, *, every: bool = False) -> "ProgramScanner":
        """Return a scanner for a block.

        For `every` hit it is asked for exactly the zeros of the slice. Raise
        EngineUnavailableError when it cannot be told where to begin.
        """
        if every and not (self._template.takes("nonce") and self._template.takes("zeros")):
            raise EngineUnavailableError(f"{self.name} takes no first nonce: it has no shares")
        zeros = None if every else self._first_zeros
        return ProgramScanner(self._template, work, run_seconds=self._run_seconds, zeros=zeros)


class ProgramScanner:
    """The runs of a program for one block."""

    def __init__(
        self, template: Template, work: Work, *, run_seconds: float, zeros: int | None
    ) -> None:
        """Take the block, how long a run should last, and the zeros that are worth a start.

        None: it is asked for the zeros of a slice and no more.
        """
        self._template = template
        self._work = work
        self._seconds = run_seconds
        self._zeros = zeros
        #: Nonces from 0 on that a program which always begins there has tried, by farmer.
        self._tried: dict[int, int] = {}
        #: What a nonce took at least in the last run of a program that is told how many to try.
        self._nonce_seconds = 0.0
        self._lock = threading.Lock()
        self._run: ProgramRun | None = None
        self._is_stopped = False

    def scan(self, slices: Sequence[Slice]) -> Scan:
        """Run the program for the first slice. Raise EngineFailedError when it does not work."""
        order = self._order(slices[0])
        run = self._started(order)
        if run is None:
            return Scan(0, ())
        ended = run.wait(self._seconds_for(order))
        nonce = nonce_of(ended.output)
        if nonce is None and not ended.was_stopped:
            said = ended.complaint or "it says nothing"
            raise EngineFailedError(f"{self._template.name} ended without a nonce: {said}")
        if self._template.takes("zeros"):
            return self._searched(order, ended, nonce)
        return self._counted(order, ended, slices[0], nonce)

    def stop(self) -> None:
        """End the run and start no other."""
        with self._lock:
            self._is_stopped = True
            if self._run is not None:
                self._run.stop()

    def close(self) -> None:
        """Do nothing: no run outlives its scan."""

    def _order(self, piece: Slice) -> Order:
        """Ask for what the slice is for, and for more where that is found at once."""
        wanted = (64 - piece.at_most.bit_length() + 3) // 4
        nonces = piece.nonces
        if not self._template.takes("nonce"):
            # It begins at 0 each time: what it has tried is tried again.
            nonces = max(nonces, 2 * self._tried.get(piece.target, 0))
        return Order(
            work=self._work,
            target=piece.target,
            nonce=piece.first,
            nonces=nonces,
            zeros=self._zeros_for(wanted),
        )

    def _seconds_for(self, order: Order) -> float:
        """Return how long a run may last.

        A program that tells its find only once it has tried all nonces gets twice the time that the
        last run would have taken for as many: what an ended run has tried is lost.
        """
        return max(self._seconds, 2 * order.nonces * self._nonce_seconds)

    def _zeros_for(self, wanted: int) -> int:
        if self._zeros is None:
            return min(wanted, _MOST_ZEROS)
        zeros = max(wanted, self._zeros)
        if self._template.prefers_even and zeros > wanted:
            zeros += zeros % 2
        return min(zeros, _MOST_ZEROS)

    def _started(self, order: Order) -> ProgramRun | None:
        with self._lock:
            if self._is_stopped:
                return None
            command = self._template.command(order)
            self._run = ProgramRun(command, self._template.environment)
            return self._run

    def _searched(self, order: Order, ended: Ended, nonce: int | None) -> Scan:
        """Return what a program has found that ends at its first find.

        It does not tell what it has tried. By its own rate, or by what a find takes on average,
        the sum over many runs is right.
        """
        rate = rate_of(ended.output)
        expected = 16**order.zeros if nonce is not None else 0
        hashes = round(rate * ended.seconds) if rate is not None else expected
        if self._zeros is not None:
            if nonce is None:
                self._zeros = max(self._zeros - 1, 1)
            elif ended.seconds < _SHORT_SECONDS:
                self._zeros = min(order.zeros + 1, _MOST_ZEROS)
        return Scan(hashes, () if nonce is None else [Hit(order.target, nonce)])

    def _counted(self, order: Order, ended: Ended, piece: Slice, nonce: int | None) -> Scan:
        """Return what a program has found that tells the best of a number of nonces."""
        self._nonce_seconds = ended.seconds / order.nonces
        if nonce is None:
            return Scan(0, ())
        self._tried[order.target] = order.nonces
        is_good = head_of(found(self._work, order.target, nonce).digest) <= piece.at_most
        return Scan(order.nonces, [Hit(order.target, nonce)] if is_good else [])
