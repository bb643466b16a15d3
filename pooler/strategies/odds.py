"""The chances of works that are sent now: to land while the block is open, and with what gap.

Three things are uncertain, and taken as independent: whether a ledger takes the pool's
transactions, when each ledger closes, and when somebody opens the next block.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from pooler.strategies.model import Learned, Pace, SendFacts

#: Ledgers that are looked at beyond those that the works need; what has not landed by then counts
#: as lost.
_BEYOND = 12


@dataclass(frozen=True, kw_only=True)
class Odds:
    """What becomes of works that are sent at some ledger."""

    #: Expected part of them that lands in no ledger of the block.
    lost: float
    #: Expected weight, in parts of the gap's greatest weight; 0 for a work that is lost.
    gain: float


def odds(facts: SendFacts, *, wait: int = 0) -> Odds:
    """Return the odds of works that are sent `wait` ledgers after the newest one.

    Mining goes on while they wait.
    """
    learned = facts.learned
    landing = landing_chances(learned.pace, wait=wait)
    still_open = open_chances(
        learned, seconds_left=facts.closes_at - facts.close_time, ledgers=len(landing)
    )
    others = facts.others + wait * facts.growth
    landed = gain = 0.0
    for number, (lands, is_open) in enumerate(zip(landing, still_open, strict=True), start=1):
        chance = lands * is_open
        landed += chance
        gain += chance * (gap_weight(facts, facts.ledger + number) + others)
    return Odds(lost=max(0.0, 1.0 - landed), gain=gain)


def landing_chances(pace: Pace, *, wait: int = 0) -> list[float]:
    """Return for each ledger from the next one on the expected part of works that land in it.

    The works fill `pace.ledgers` ledgers, each an equal part; a ledger that takes none moves the
    rest to the next one.
    """
    first = wait + pace.delay
    count = first + pace.ledgers + _BEYOND
    taken = 1.0 - pace.loss
    parts = [0.0] * count
    for number in range(1, pace.ledgers + 1):
        for tries in range(number, count - first + 2):
            chance = comb(tries - 1, number - 1) * taken**number * pace.loss ** (tries - number)
            parts[first + tries - 2] += chance / pace.ledgers
    return parts


def open_chances(learned: Learned, *, seconds_left: int, ledgers: int) -> list[float]:
    """Return for each of the next ledgers the chance that the block is open in it.

    `seconds_left` are those from the newest ledger's close time to the first at which a plant ends
    the block; after that the block is open as long as blocks before were opened later still.
    """
    chances, close_times = [], {0: 1.0}
    for _ in range(ledgers):
        close_times = _plus_one_ledger(close_times, learned.spans)
        chances.append(
            sum(
                chance * _open_after(learned.lateness, seconds - seconds_left)
                for seconds, chance in close_times.items()
            )
        )
    return chances


def gap_weight(facts: SendFacts, ledger: int) -> float:
    """Return the weight of a gap that ends in this ledger, from 0 to 1."""
    span = facts.max_gap - facts.min_gap
    if span <= 0:
        return 0.0
    gap = min(max(ledger - facts.planted, facts.min_gap), facts.max_gap)
    return (gap - facts.min_gap) / span


def _plus_one_ledger(
    close_times: dict[int, float], spans: Sequence[tuple[int, float]]
) -> dict[int, float]:
    later: dict[int, float] = {}
    for seconds, chance in close_times.items():
        for span, part in spans:
            later[seconds + span] = later.get(seconds + span, 0.0) + chance * part
    return later


def _open_after(lateness: Sequence[int], seconds: int) -> float:
    """Return the chance that a block is open in a ledger `seconds` after its interval.

    Of n blocks seen, those opened later than that had been open. One more is taken to have been
    opened at once, so that few blocks prove little.
    """
    if seconds < 0:
        return 1.0
    return (len(lateness) - bisect_right(lateness, seconds)) / (len(lateness) + 1)
