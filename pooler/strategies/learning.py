"""What a pooler remembers of ledgers and blocks, and what follows for the next block.

Everything forgets: the newest records count, so that a network or a service that has become slower
or faster is met as it is now.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import exp, lgamma, log
from statistics import median_low

from pooler.strategies.model import Learned, Pace

#: Records that are kept of each kind.
_LANDINGS, _SPANS, _OPENINGS = 4_000, 5_000, 1_000
#: Full ledgers of late that say how many works one takes; the fewest count.
_FULL = 3
#: Works that a ledger takes where no more were tried: single calls as measured (203).
_WORKS_PER_LEDGER = 200
#: Ledgers from the sending to the first works, before any were seen.
_UNSEEN_DELAY = 2
#: Seconds after which an opening counts as this late, and rounds of sharing out.
_LATEST, _ROUNDS = 60, 40
#: What is taken for granted before any ledger was seen: one in a hundred fails. One failure more is
#: added to those seen, since all tries have to fail for a work to be lost: a chance taken to be too
#: low by a third makes works three times as risky, one too high by as much less than half.
_FAILED, _TRIED = 1 + 1, 100
#: Blocks of late that count alone when they are worse than all, and the chance of that by accident.
_LATE_BLOCKS, _BY_ACCIDENT = 100, 1e-3
#: Ledgers of mainnet, until enough were seen: rarely under 5 s, mostly 6, some 8 or 9.
_MAINNET_SPANS = ((5, 0.22), (6, 0.58), (7, 0.12), (8, 0.06), (9, 0.02))
_ENOUGH_SPANS = 3


@dataclass(frozen=True, kw_only=True)
class Landing:
    """How the works of one block reached ledgers, from the one after the first sending on."""

    #: Works that landed in each ledger, up to the last one that had any; where works never landed,
    #: up to the last one in which they could have.
    counts: tuple[int, ...]
    #: Works that each ledger could have had, and left for later ones.
    left: tuple[int, ...]

    @property
    def first(self) -> int:
        """Return the number of the first ledger that had any; one past the last if none had."""
        return next((n for n, count in enumerate(self.counts, 1) if count), len(self.counts) + 1)

    @property
    def filled(self) -> int:
        """Return how many ledgers had any."""
        return sum(count > 0 for count in self.counts)

    @property
    def failed_later(self) -> int:
        """Return how many ledgers had none although works waited, after the first that had any."""
        later = zip(self.counts[self.first :], self.left[self.first :], strict=True)
        return sum(count == 0 and left > 0 for count, left in later)

    @property
    def full(self) -> tuple[int, ...]:
        """Return the works of ledgers that took some and left others: they took all they could."""
        both = zip(self.counts, self.left, strict=True)
        return tuple(count for count, left in both if count and left)


@dataclass(frozen=True, kw_only=True)
class Records:
    """What is remembered, oldest first."""

    #: The works of blocks.
    landings: tuple[Landing, ...] = ()
    #: Seconds between two ledgers.
    spans: tuple[int, ...] = ()
    #: Openings of blocks.
    openings: tuple["Opening", ...] = ()

    def with_landing(self, landing: Landing) -> "Records":
        """Return the records with the works of one more block."""
        return replace(self, landings=(*self.landings, landing)[-_LANDINGS:])

    def with_spans(self, spans: Iterable[int]) -> "Records":
        """Return the records with the seconds of further ledgers."""
        return replace(self, spans=(*self.spans, *spans)[-_SPANS:])

    def with_opening(self, opening: "Opening") -> "Records":
        """Return the records with the opening of one more block."""
        return replace(self, openings=(*self.openings, opening)[-_OPENINGS:])


@dataclass(frozen=True, kw_only=True)
class Opening:
    """When a block was opened, in seconds since that was possible; below 0: before."""

    #: Close time of the last ledger in which nobody had opened it.
    last_closed: int
    #: Close time of the ledger in which somebody did.
    opened: int


def landing_of(
    sends: Mapping[int, int], *, ledgers: Iterable[int], missing_until: int | None = None
) -> Landing:
    """Return how works reached the ledgers with these numbers, one for each work that landed.

    `sends` has the works by the ledger that was the newest when they were sent. Where works are
    missing, `missing_until` is the last ledger in which they could have landed.
    """
    sent = min(sends, default=0)
    landed = Counter(ledger for ledger in ledgers if ledger > sent)
    last = max(landed, default=sent) if missing_until is None else max(*landed, missing_until, sent)
    numbers = range(sent + 1, last + 1)
    delay = min(landed, default=last + 1) - sent
    return Landing(
        counts=tuple(landed[number] for number in numbers),
        left=tuple(
            sum(count for ledger, count in sends.items() if ledger + delay <= number)
            - sum(count for ledger, count in landed.items() if ledger <= number)
            for number in numbers
        ),
    )


def learn(records: Records) -> Learned:
    """Return what the records teach about the next block."""
    return Learned(
        pace=pace_of(records.landings),
        spans=spans_of(records.spans),
        still_open=still_open_of(records.openings),
    )


def pace_of(landings: Sequence[Landing]) -> Pace:
    """Return how works reach ledgers.

    The delay is that of the median block. Ledgers that passed beyond it count as failed, whatever
    the reason was: a service that is slow now and then is bad luck, too.
    """
    delay = median_low([one.first for one in landings]) if landings else _UNSEEN_DELAY
    full = [count for one in landings for count in one.full][-_FULL:]
    most = max((count for one in landings for count in one.counts), default=0)
    return Pace(
        delay=delay,
        per_ledger=min(full) if full else max(most, _WORKS_PER_LEDGER),
        is_full=bool(full),
        loss=_loss(landings, delay=delay),
    )


def _loss(landings: Sequence[Landing], *, delay: int) -> float:
    """Return the chance that a ledger fails: that of all blocks, or of late where that is worse."""
    failed, tried = _tries(landings, delay=delay)
    late_failed, late_tried = _tries(landings[-_LATE_BLOCKS:], delay=delay)
    ever = (failed + _FAILED) / (tried + _TRIED)
    if _chance_of_more(late_failed, expected=ever * late_tried) >= _BY_ACCIDENT:
        return ever
    return max(ever, (late_failed + _FAILED) / (late_tried + _TRIED))


def _tries(landings: Sequence[Landing], *, delay: int) -> tuple[int, int]:
    """Return how many ledgers failed, of how many in which works could have landed."""
    failed = sum(max(0, one.first - delay) + one.failed_later for one in landings)
    return failed, failed + sum(one.filled for one in landings)


def _chance_of_more(count: int, *, expected: float) -> float:
    """Return the chance of so many failures or more where this many are expected (Poisson)."""
    fewer = sum(exp(number * log(expected) - lgamma(number + 1)) for number in range(count))
    return 1.0 - fewer * exp(-expected) if expected else 1.0


def spans_of(seen: Sequence[int]) -> tuple[tuple[int, float], ...]:
    """Return the chances of seconds between two ledgers.

    One ledger that is slower than all by a second is added to those seen.
    """
    if len(seen) < _ENOUGH_SPANS:
        return _MAINNET_SPANS
    counts = Counter(seen)
    counts[max(seen) + 1] += 1
    total = counts.total()
    return tuple((seconds, count / total) for seconds, count in sorted(counts.items()))


def still_open_of(openings: Sequence[Opening]) -> tuple[float, ...]:
    """Return the chances that the next block is not open 0, 1, 2 ... seconds after it could be.

    A ledger shows only that somebody was ready to open the block since the ledger before. So the
    seconds between the two are shared out by what all other blocks show, again and again, which is
    Turnbull's estimate for censored intervals. One block more is taken to have been opened at once,
    so that few blocks prove little.
    """
    ranges = Counter(map(_range, openings))
    ranges[0, 0] += 1
    total, chances = ranges.total(), [1.0 / (_LATEST + 1)] * (_LATEST + 1)
    for _ in range(_ROUNDS):
        shared = [0.0] * (_LATEST + 1)
        for (first, last), count in ranges.items():
            part = count / total / sum(chances[first : last + 1])
            for second in range(first, last + 1):
                shared[second] += chances[second] * part
        chances = shared
    return tuple(max(0.0, 1.0 - before) for before in accumulate(chances))


def _range(opening: Opening) -> tuple[int, int]:
    """Return the first and last second in which the block may have come to be opened."""
    last = min(_LATEST, max(0, opening.opened))
    # Ledgers may close in the same second.
    return min(last, max(0, opening.last_closed + 1)), last
