"""The public list of poolers: windows of blocks, and the hash rate that works prove.

A hash has a number of zeros, or more, with a chance of 1 in 16^zeros. Whatever a pooler does, and
whenever it stops, it needs 16^zeros hashes on average for a farmer's first hash with as many. So
each farmer in a block whose best work has as many stands for 16^zeros hashes. What is hashed for
that farmer afterwards is not seen: the sum is what was done at least.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique
from math import isqrt

from libs.common.ids import PoolerId
from libs.kale.constants import MAX_I64
from services.harvest.domain.reports import Blocks

#: Lengths of the spans that sums are kept for, in blocks; a block has its own sums.
SPANS = (288, 12, 1)
#: Digits that a zero is one of.
_DIGITS = 16
#: Works that a rate is told from: its error is a fifth of it at most.
FEWEST_WORKS = 25


@unique
class Window(Enum):
    """Windows that figures are told of; the values are lengths in blocks."""

    DAY = 288
    WEEK = 2_016
    MONTH = 8_640

    def blocks(self, current_block: int | None) -> Blocks:
        """Return the newest blocks that are over."""
        current = current_block or 0
        return Blocks(first=max(0, current - self.value), last=current - 1)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Spans of one length that follow one another."""

    #: Blocks of each span.
    blocks: int
    #: First block of the first span.
    first: int
    #: First block of the last span.
    last: int


def runs_of(blocks: Blocks) -> list[Run]:
    """Return the fewest spans that make up these blocks, in their order."""
    runs: list[Run] = []
    at = blocks.first
    while at <= blocks.last:
        size = next(one for one in SPANS if at % one == 0 and at + one - 1 <= blocks.last)
        if runs and runs[-1].blocks == size:
            runs[-1] = Run(blocks=size, first=runs[-1].first, last=at)
        else:
            runs.append(Run(blocks=size, first=at, last=at))
        at += size
    return runs


@dataclass(frozen=True, kw_only=True)
class ListedPooler:
    """A pooler that is listed, with its terms in force."""

    #: The pooler.
    pooler_id: PoolerId
    #: What people call it.
    name: str
    #: Farmers that it can still take.
    room: int
    #: Lets farmers join by themselves.
    is_open_to_join: bool
    #: Version of its terms, from 1 on.
    version: int
    #: What a plant stakes of a farmer's balance at most; parts are ten-thousandths.
    stake_bps: int
    #: The pooler's part of a reward.
    pooler_bps: int
    #: The miners' part of the pooler's.
    miners_bps: int
    #: Stroops of KALE from which on a farmer is paid out.
    payout_threshold: int
    #: Seconds after which it is paid out at the latest; 0: by the threshold alone.
    payout_interval_seconds: int
    #: Blocks that are harvested together.
    harvest_blocks: int
    #: What the pooler says besides.
    text: str
    #: SHA-256 of all of it.
    digest: bytes
    #: When it was published.
    published_at: datetime


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a pooler's farmers came to in one window; each counts once for a block."""

    #: The pooler.
    pooler_id: PoolerId
    #: Number of the window.
    window_number: int
    #: Farmers who planted.
    planted: int
    #: Farmers whose plants all failed.
    not_planted: int
    #: Stroops of KALE planted.
    staked: int
    #: Farmers who worked.
    worked: int
    #: Farmers whose works all failed.
    not_worked: int
    #: Blocks in which somebody worked.
    worked_blocks: int
    #: Farmers by the zeros of their best work, from none up to the most.
    farmers_by_zeros: Sequence[int]
    #: Farmers who were paid.
    harvested: int
    #: Farmers whose harvests all failed so far.
    not_harvested: int
    #: Stroops of KALE paid, without the stakes.
    rewards: int

    @property
    def farmer_blocks(self) -> int:
        """Return farmers in blocks that took part."""
        return self.planted + self.not_planted

    @property
    def rewards_per_farmer_block(self) -> int | None:
        """Return a farmer's mean reward in a block, rounded down; None when nobody took part."""
        return self.rewards // self.farmer_blocks if self.farmer_blocks else None


@dataclass(frozen=True, kw_only=True)
class Openings:
    """Two openings of blocks that are known, in or right after a window."""

    #: Number of the window, from 1 on.
    number: int
    #: The first, and when it was.
    first_index: int
    first_opened_at: datetime
    #: The last, and when it was.
    last_index: int
    last_opened_at: datetime

    def microseconds(self, blocks: int) -> int:
        """Return how long so many blocks last, by the mean of those between; 0: it is not known."""
        between = self.last_index - self.first_index
        if not between:
            return 0
        lasted = self.last_opened_at - self.first_opened_at
        return (lasted.days * 86_400 + lasted.seconds) * 1_000_000 * blocks // between


@dataclass(frozen=True, kw_only=True)
class ProvenRate:
    """A hash rate that works prove."""

    #: Hashes a second at least, and the standard error.
    rate: int
    error: int
    #: Blocks in which somebody worked.
    blocks: int
    #: Farmers in blocks with as many zeros.
    works: int
    #: That number of zeros.
    zeros: int


def proven_rate(figures: Figures, openings: Openings | None) -> ProvenRate | None:
    """Return the rate over the blocks in which somebody worked.

    None: too few works prove it, or it is not known how long the blocks lasted.
    """
    lasted = 0 if openings is None else openings.microseconds(figures.worked_blocks)
    found = _rarest(figures.farmers_by_zeros)
    if found is None or not lasted:
        return None
    zeros, works = found
    hashes = _DIGITS**zeros * 1_000_000
    return ProvenRate(
        rate=min(works * hashes // lasted, MAX_I64),
        # Finds of what is rare vary by the square root of their number.
        error=min(isqrt(works * hashes**2) // lasted, MAX_I64),
        blocks=figures.worked_blocks,
        works=works,
        zeros=zeros,
    )


def _rarest(farmers_by_zeros: Sequence[int]) -> tuple[int, int] | None:
    """Return the most zeros that enough works have, and how many; None: no zeros have."""
    works = 0
    for zeros, farmers in reversed(list(enumerate(farmers_by_zeros))):
        works += farmers
        if zeros and works >= FEWEST_WORKS:
            return zeros, works
    return None


def numbered(windows: Iterable[Blocks]) -> list[tuple[int, Run]]:
    """Return the runs of windows, each with its window's number, from 1 on."""
    return [(number, run) for number, blocks in enumerate(windows, 1) for run in runs_of(blocks)]
