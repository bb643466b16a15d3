"""The chances of works that are sent now: to land while the block is open, and with what gap.

Three things are uncertain, and taken as independent: whether a ledger takes the pool's
transactions, when each ledger closes, and when somebody opens the next block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, comb
from operator import mul

from pooler.strategies.model import Learned, Pace, SendFacts

#: Ledgers that are looked at beyond those that the works need; what has not landed by then counts
#: as lost.
_BEYOND = 10


@dataclass(frozen=True, kw_only=True)
class Odds:
    """What becomes of works that are sent at some ledger."""

    #: Expected part of them that lands in no ledger of the block.
    lost: float
    #: Expected weight, in parts of the gap's greatest weight; 0 for a work that is lost.
    gain: float


def odds(facts: SendFacts, *, works: int, wait: int = 0) -> Odds:
    """Return the odds of so many works that are sent `wait` ledgers after the newest one.

    Mining goes on while they wait.
    """
    pace = facts.learned.pace
    ledgers = _ledgers(pace, works=works)
    landing = landing_chances(pace, works=works, wait=wait, ledgers=ledgers)
    still_open = open_chances(
        facts.learned, seconds_left=facts.closes_at - facts.close_time, ledgers=ledgers
    )
    others = facts.others + wait * facts.growth
    landed = gain = 0.0
    for number, (lands, is_open) in enumerate(zip(landing, still_open, strict=True), start=1):
        chance = lands * is_open
        landed += chance
        gain += chance * (gap_weight(facts, facts.ledger + number) + others)
    return Odds(lost=max(0.0, 1.0 - landed), gain=gain)


def lost_by_waiting(facts: SendFacts, *, works: int) -> float:
    """Return the part of the works that is lost by a pooler that always lets them wait now.

    Such a pooler sends them in every block at the first ledger that has less time left than the
    newest one has. That ledger comes a part of a span later, as it happens; the risk of the rule is
    the mean over all of these parts.
    """
    return _lost_by_waiting(
        facts.learned, works=works, seconds_left=facts.closes_at - facts.close_time
    )


@lru_cache(maxsize=1024)
def _lost_by_waiting(learned: Learned, *, works: int, seconds_left: int) -> float:
    ledgers = _ledgers(learned.pace, works=works)
    landing = landing_chances(learned.pace, works=works, wait=0, ledgers=ledgers)
    mean = sum(span * chance for span, chance in learned.spans)
    slowest = max(span for span, _ in learned.spans)
    lost = 0.0
    for seconds in range(slowest):
        reached = sum(chance for span, chance in learned.spans if span > seconds)
        still_open = open_chances(learned, seconds_left=seconds_left - 1 - seconds, ledgers=ledgers)
        lost += reached / mean * (1.0 - sum(map(mul, landing, still_open)))
    return max(0.0, lost)


@lru_cache(maxsize=256)
def landing_chances(pace: Pace, *, works: int, wait: int, ledgers: int) -> tuple[float, ...]:
    """Return for each of the next ledgers the expected part of the works that land in it.

    A ledger takes `pace.per_ledger` works; one that takes none moves the rest to the next one.
    """
    before = wait + pace.delay - 1
    taken = 1.0 - pace.loss
    parts = [0.0] * ledgers
    for number in range(1, ceil(works / pace.per_ledger) + 1):
        part = min(pace.per_ledger, works - (number - 1) * pace.per_ledger) / works
        for tries in range(number, ledgers - before + 1):
            chance = comb(tries - 1, number - 1) * taken**number * pace.loss ** (tries - number)
            parts[before + tries - 1] += chance * part
    return tuple(parts)


@lru_cache(maxsize=1024)
def open_chances(learned: Learned, *, seconds_left: int, ledgers: int) -> tuple[float, ...]:
    """Return for each of the next ledgers the chance that the block is open in it.

    `seconds_left` are those from the newest ledger's close time to the first at which a plant ends
    the block; after that the block is open as long as blocks before were opened later still.
    """
    return tuple(
        sum(
            chance * _open_after(learned.still_open, seconds - seconds_left)
            for seconds, chance in close_times
        )
        for close_times in _close_times(learned.spans, ledgers)
    )


def gap_weight(facts: SendFacts, ledger: int) -> float:
    """Return the weight of a gap that ends in this ledger, from 0 to 1."""
    span = facts.max_gap - facts.min_gap
    if span <= 0:
        return 0.0
    gap = min(max(ledger - facts.planted, facts.min_gap), facts.max_gap)
    return (gap - facts.min_gap) / span


def _ledgers(pace: Pace, *, works: int) -> int:
    """Return the ledgers to look at for works that leave now or one ledger later."""
    return 1 + pace.delay + ceil(works / pace.per_ledger) + _BEYOND


@lru_cache(maxsize=64)
def _close_times(
    spans: tuple[tuple[int, float], ...], ledgers: int
) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Return for each of the next ledgers the seconds until its close, with the chance of each."""
    found, now = [], {0: 1.0}
    for _ in range(ledgers):
        later: dict[int, float] = {}
        for seconds, chance in now.items():
            for span, part in spans:
                later[seconds + span] = later.get(seconds + span, 0.0) + chance * part
        found.append(tuple(later.items()))
        now = later
    return tuple(found)


def _open_after(still_open: Sequence[float], seconds: int) -> float:
    """Return the chance that a block is open in a ledger so many seconds after its interval."""
    if seconds < 0:
        return 1.0
    return still_open[seconds] if seconds < len(still_open) else 0.0
