"""What a pooler remembers of ledgers and blocks, and what follows for the next block.

Everything forgets: the newest records count, so that a network or a service that has become slower
or faster is met as it is now.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import median_low

from pooler.strategies.model import Learned, Pace

#: Records that are kept of each kind.
_LANDINGS, _SPANS, _LATENESS = 300, 2_000, 1_000
#: Blocks of late whose works say how many ledgers works fill; the most of them counts.
_RECENT = 20
#: Works that a ledger takes before any was seen: single calls on the network as measured (203).
_WORKS_PER_LEDGER = 200
#: Numbers of works that count as alike, as parts of one another.
_ALIKE = (0.9, 1.1)
#: What is taken for granted before any ledger was seen to fail: one in fifty fails.
_FAILED, _TRIED = 1, 50
#: Ledgers from the sending to the first works, before any were seen.
_UNSEEN_DELAY = 2
#: Ledgers of mainnet, until enough were seen: rarely under 5 s, mostly 6, some 8 or 9.
_MAINNET_SPANS = ((5, 0.22), (6, 0.58), (7, 0.12), (8, 0.06), (9, 0.02))
_ENOUGH_SPANS = 20


@dataclass(frozen=True, kw_only=True)
class Landing:
    """How the works of one block reached ledgers."""

    #: Works that landed in the first, second ... ledger after the one in which they were sent, up
    #: to the last one that had any. For works that never landed, a 0 for each ledger that passed.
    counts: tuple[int, ...]

    @property
    def works(self) -> int:
        """Return how many works landed."""
        return sum(self.counts)

    @property
    def filled(self) -> int:
        """Return how many ledgers had any."""
        return sum(count > 0 for count in self.counts)

    @property
    def first(self) -> int:
        """Return the number of the first ledger that had any; one past the last if none had."""
        return next((n for n, count in enumerate(self.counts, 1) if count), len(self.counts) + 1)


@dataclass(frozen=True, kw_only=True)
class Records:
    """What is remembered, oldest first."""

    #: The works of blocks.
    landings: tuple[Landing, ...] = ()
    #: Seconds between two ledgers.
    spans: tuple[int, ...] = ()
    #: Seconds by which blocks were opened later than they could be.
    lateness: tuple[int, ...] = ()

    def with_landing(self, landing: Landing) -> "Records":
        """Return the records with the works of one more block."""
        return replace(self, landings=(*self.landings, landing)[-_LANDINGS:])

    def with_spans(self, spans: Iterable[int]) -> "Records":
        """Return the records with the seconds of further ledgers."""
        return replace(self, spans=(*self.spans, *spans)[-_SPANS:])

    def with_lateness(self, seconds: int) -> "Records":
        """Return the records with the opening of one more block."""
        return replace(self, lateness=(*self.lateness, max(0, seconds))[-_LATENESS:])


def landing_of(*, sent: int, ledgers: Iterable[int], missing_until: int | None = None) -> Landing:
    """Return how works reached the ledgers with these numbers, one for each work that landed.

    `sent` is the newest ledger when they were sent. Where works are missing, `missing_until` is the
    last ledger in which they could have landed.
    """
    landed = Counter(ledger - sent for ledger in ledgers if ledger > sent)
    last = max(landed, default=0)
    if missing_until is not None:
        last = max(last, missing_until - sent)
    return Landing(counts=tuple(landed[number] for number in range(1, last + 1)))


def learn(records: Records, *, works: int) -> Learned:
    """Return what the records teach about a block with this many works."""
    return Learned(
        pace=pace_of(records.landings, works=works),
        spans=spans_of(records.spans),
        lateness=tuple(sorted(records.lateness)),
    )


def pace_of(landings: Sequence[Landing], *, works: int) -> Pace:
    """Return how works reach ledgers.

    The delay is that of the median block. Ledgers that passed beyond it count as failed, whatever
    the reason was: a service that is slow now and then is bad luck, too.
    """
    delay = median_low([one.first for one in landings]) if landings else _UNSEEN_DELAY
    failed = sum(max(0, one.first - delay) + _empty_after_first(one) for one in landings)
    took = sum(one.filled for one in landings)
    return Pace(
        delay=delay,
        ledgers=_ledgers(landings[-_RECENT:], works=works),
        loss=(failed + _FAILED) / (failed + took + _TRIED),
    )


def spans_of(seen: Sequence[int]) -> tuple[tuple[int, float], ...]:
    """Return the chances of seconds between two ledgers.

    One ledger half as slow again as the slowest one is added to those seen.
    """
    if len(seen) < _ENOUGH_SPANS:
        return _MAINNET_SPANS
    counts = Counter(seen)
    counts[ceil(max(seen) * 1.5)] += 1
    total = counts.total()
    return tuple((seconds, count / total) for seconds, count in sorted(counts.items()))


def _empty_after_first(landing: Landing) -> int:
    return sum(count == 0 for count in landing.counts[landing.first - 1 :])


def _ledgers(recent: Sequence[Landing], *, works: int) -> int:
    """Return the ledgers that these works fill: those of the worst block, by its works."""
    needed = [_scaled(one, works=works) for one in recent if one.works]
    return max(needed) if needed else max(1, ceil(works / _WORKS_PER_LEDGER))


def _scaled(landing: Landing, *, works: int) -> int:
    """Return the ledgers for these works; about as many works fill as many ledgers."""
    part = works / landing.works
    return landing.filled if _ALIKE[0] <= part <= _ALIKE[1] else max(1, ceil(landing.filled * part))
