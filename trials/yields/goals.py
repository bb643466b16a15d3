"""What the default strategies have to reach."""

from collections.abc import Iterator
from dataclasses import dataclass

from trials.yields.run import AT_240, BOUND, HOMESTEAD, WorldResult, YieldResult

#: Part of what the best schedule earns that loses no more than the bound.
OF_THE_BEST = 0.98
#: What sending at 240 s earns, times this.
ABOVE_240 = 1.03
#: What homestead's defaults earn, times this, where nobody works early.
ABOVE_HOMESTEAD = 2.0
#: Blocks after a change in which the gate may be wrong.
GATE_BLOCKS = 1


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One figure and its goal."""

    #: What is compared.
    name: str
    #: The figure, and the goal, as they are shown.
    figure: str
    goal: str
    #: Whether the figure reaches it.
    met: bool


def goals_of(result: YieldResult) -> list[Goal]:
    """Return all goals."""
    found = [goal for world in result.worlds for goal in _world_goals(world)]
    found += [_at_most_lost(one.world.name, one.default.lost_share) for one in result.harder]
    gate = result.gate
    found.append(
        Goal(
            name=f"gate: blocks in which a farmer is decided wrongly, after each of "
            f"{gate.changes} changes of the price",
            figure=f"{gate.most_wrong}",
            goal=f"at most {GATE_BLOCKS}",
            met=gate.most_wrong <= GATE_BLOCKS,
        )
    )
    return found


def _world_goals(result: WorldResult) -> Iterator[Goal]:
    name, default = result.world.name, result.default
    yield _at_most_lost(name, default.lost_share)
    for what, other, least in (
        ("the best schedule within the bound", result.best, OF_THE_BEST),
        ("works at 240 s", result.rival(AT_240), ABOVE_240),
    ):
        yield _at_least(f"{name}: as a part of {what}", default.kale_each / other.kale_each, least)
    if "stranger" not in name:
        part = default.kale_each / result.rival(HOMESTEAD).kale_each
        yield _at_least(f"{name}: as a part of homestead's defaults", part, ABOVE_HOMESTEAD)


def _at_least(name: str, figure: float, least: float) -> Goal:
    return Goal(
        name=name, figure=f"{figure:.3f}", goal=f"at least {least:.2f}", met=figure >= least
    )


def _at_most_lost(world: str, share: float) -> Goal:
    return Goal(
        name=f"{world}: farmer-blocks lost, expected in 100,000",
        figure=f"{share * 1e5:.3f}",
        goal=f"at most {BOUND * 1e5:g}",
        met=share <= BOUND,
    )
