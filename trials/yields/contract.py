"""A whole block by the contract's rules at once: the same figures as libs.kale.farm, but faster.

Farmers who did the same are one part, and each weight is computed once for each gap, stake and
number of zeros. A test compares every figure with the farm's state machine, call by call.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from libs.kale.reward import BlockStats, block_reward, weights


@dataclass(frozen=True, kw_only=True)
class Work:
    """One accepted work."""

    #: Ledgers since the plant.
    gap: int
    #: Leading zero digits of its hash.
    zeros: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """Farmers who did the same in a block."""

    #: How many they are.
    farmers: int
    #: Stroops that each of them staked.
    stake: int
    #: Their works in order; none for those who never worked. Each has more zeros than the one
    #: before, as the contract asks for.
    works: tuple[Work, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ClosedBlock:
    """What became of a block."""

    #: Its figures at its end, both totals included.
    stats: BlockStats
    #: Figures of the block that follows; its totals are 0.
    following: BlockStats
    #: Stroops that each farmer of a part is paid, without the stake, in the order of the parts.
    rewards: tuple[int, ...]


def close_block(bounds: BlockStats, parts: Sequence[Part], *, index: int) -> ClosedBlock:
    """Return what a block pays that opened with these bounds, its totals being 0."""
    weight_of = _weights(bounds, parts)
    worked = [part for part in parts if part.works]
    normalized = sum(part.farmers * _counted(part, weight_of) for part in worked)
    deserted = sum(part.farmers * part.stake for part in parts if not part.works)
    stats = replace(bounds, normalized_total=normalized, staked_total=deserted)
    pot = block_reward(index) + deserted
    return ClosedBlock(
        stats=stats,
        following=_following(parts),
        rewards=tuple(
            weight_of(part.works[-1], part.stake) * pot // max(1, normalized) if part.works else 0
            for part in parts
        ),
    )


_Weight = Callable[[Work, int], int]


def _weights(bounds: BlockStats, parts: Iterable[Part]) -> _Weight:
    """Return a function from a work and its stake to its weight in the block."""
    # Each of the three weights depends on its own value alone.
    gaps: dict[int, int] = {}
    stakes: dict[int, int] = {}
    zeros: dict[int, int] = {}
    for part in parts:
        for work in part.works:
            if work.gap in gaps and part.stake in stakes and work.zeros in zeros:
                continue
            one = weights(bounds, gap=work.gap, stake=part.stake, zeros=work.zeros)
            gaps[work.gap], stakes[part.stake], zeros[work.zeros] = one.gap, one.stake, one.zeros
    # A later work takes the one before off at its own gap, which is in the table already.
    return lambda work, stake: gaps[work.gap] + stakes[stake] + zeros[work.zeros]


def _counted(part: Part, weight_of: _Weight) -> int:
    """Return what one farmer's works add to the block's normalized_total.

    A repeated work takes the one before off as if it had been made at the new gap (section 7).
    """
    total = weight_of(part.works[0], part.stake)
    for before, work in zip(part.works, part.works[1:], strict=False):
        total += weight_of(work, part.stake)
        total -= weight_of(replace(before, gap=work.gap), part.stake)
    return total


def _following(parts: Iterable[Part]) -> BlockStats:
    """Return the bounds of the next block: the extremes of this one, 0 where there are none."""
    planted = [part for part in parts if part.farmers]
    stakes = _extremes(part.stake for part in planted)
    gaps = _extremes(work.gap for part in planted for work in part.works)
    zeros = _extremes(work.zeros for part in planted for work in part.works)
    return BlockStats(
        min_gap=gaps["min"],
        max_gap=gaps["max"],
        min_stake=stakes["min"],
        max_stake=stakes["max"],
        min_zeros=zeros["min"],
        max_zeros=zeros["max"],
        staked_total=0,
        normalized_total=0,
    )


def _extremes(values: Iterable[int]) -> Mapping[str, int]:
    seen = list(values)
    return {"min": min(seen, default=0), "max": max(seen, default=0)}
