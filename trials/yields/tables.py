"""The report of a comparison."""

from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any
from uuid import UUID

from trials.report import Picture, Report, Table
from trials.yields.goals import Goal, goals_of
from trials.yields.localnet import TOLERANCE, LocalnetResult
from trials.yields.picture import draw
from trials.yields.plans import Outcome
from trials.yields.run import GroupResult, WorldResult, YieldResult

_KALE = 1e7
_COLUMNS = (
    "plan",
    "KALE per farmer and block",
    "of the best",
    "XLM per KALE",
    "lost in 100,000, expected",
    "lost",
    "mean gap",
    "mean zeros",
    "mean stake",
)


def report_of(result: YieldResult) -> Report:
    """Return the report."""
    goals = goals_of(result)
    return Report(
        name="yield",
        title="Yield",
        origin=result.origin,
        commands=[result.plan.command],
        parts=[_goal_table(goals), *_tables(result)],
        verdict=f"{sum(goal.met for goal in goals)} of {len(goals)} goals met",
        passed=all(goal.met for goal in goals),
        content={"goals": [asdict(goal) for goal in goals], **_plain(result)},
        picture=Picture(alt="Yield against works that come too late", svg=draw(result.worlds)),
    )


def report_of_localnet(result: LocalnetResult) -> Report:
    """Return the report of the run on localnet."""
    plan, run = result.plan, result.run
    within = "within" if result.is_within else "NOT within"
    return Report(
        name="yield-localnet",
        title="Yield on localnet",
        origin=result.origin,
        commands=[plan.command],
        parts=[
            f"{plan.farmers} farmers in blocks of {plan.block_seconds} s, ledgers of "
            f"{plan.ledger_seconds:g} s, with real services. The model is told when plants and "
            "works landed and the zeros that were found.",
            Table(
                title="Differences of the model from the chain",
                columns=("figure", "difference", "at most", ""),
                rows=[
                    (name, f"{error:.3%}", f"{TOLERANCE:.0%}", _met(met=error <= TOLERANCE))
                    for name, error in result.errors.items()
                ],
            ),
            Table(
                title="Each farmer and block",
                columns=("block", "farmer", "staked", "by the model", "paid", "by the model"),
                rows=[
                    (
                        f"{one.block}",
                        one.farmer[:8],
                        *(
                            f"{stroops / _KALE:.4f}"
                            for stroops in (one.stake, one.model_stake, one.paid, one.model_paid)
                        ),
                    )
                    for one in result.pairs
                ],
            ),
        ],
        verdict=f"{run.planted} planted, {run.worked} worked, {run.harvested} harvested; the model "
        f"is {within} {TOLERANCE:.0%}",
        passed=result.is_within,
        content=_figures(result),
    )


def _goal_table(goals: Sequence[Goal]) -> Table:
    return Table(
        title="Goals",
        columns=("goal", "figure", "wanted", ""),
        rows=[(goal.name, goal.figure, goal.goal, _met(met=goal.met)) for goal in goals],
    )


def _met(*, met: bool) -> str:
    return "met" if met else "NOT met"


def _tables(result: YieldResult) -> list[Table]:
    return [
        *(_world_table(world) for world in result.worlds),
        *(_frontier_table(world) for world in result.worlds),
        _harder_table(result),
        _group_table("farmers with 20,000 KALE each", result.rich_groups),
        _group_table("farmers with 1,000 to 5,000 KALE", result.groups),
        _gate_table(result),
    ]


def _world_table(result: WorldResult) -> Table:
    world, best = result.world, result.best
    crowds = ", ".join(f"{crowd.farmers:,} {crowd.name}" for crowd in world.crowds if crowd.farmers)
    named = [result.default, *result.rivals, best, result.clairvoyant]
    return Table(
        title=world.name,
        before=f"{world.hash_rate / 1e6:,.0f} MH/s for our farmers, in {world.blocks:,} blocks; "
        f"the first {world.warm_up:,} are there to learn. Strangers: {crowds}. Blocks are opened "
        f"{world.late_seconds:g} s late on average; {world.loss:.0%} of ledgers take nothing.",
        columns=_COLUMNS,
        rows=[_row(outcome, best) for outcome in named],
        after=f"Best schedule within the bound: {best.plan.name}.",
    )


def _row(outcome: Outcome, best: Outcome) -> Sequence[str]:
    blocks = max(1, outcome.farmer_blocks)
    name = "best schedule within the bound" if outcome is best else outcome.plan.name
    return (
        name,
        f"{outcome.kale_each / _KALE:.4f}",
        f"{outcome.kale_each / best.kale_each:.3f}",
        f"{outcome.xlm_per_kale:.6f}",
        f"{outcome.lost_share * 1e5:.3f}",
        f"{outcome.lost:,} of {outcome.planted:,}",
        f"{outcome.gaps / blocks:.2f}",
        f"{outcome.zeros / blocks:.2f}",
        f"{outcome.stakes / blocks / _KALE:,.0f}",
    )


def _frontier_table(result: WorldResult) -> Table:
    best = result.best
    points = sorted(
        [result.default, *result.by_risk, *result.schedules], key=lambda one: one.lost_share
    )
    return Table(
        title=f"{result.world.name}: yield against works that come too late",
        columns=("schedule", "lost in 100,000, expected", "KALE, of the best"),
        rows=[
            (one.plan.name, f"{one.lost_share * 1e5:.4g}", f"{one.kale_each / best.kale_each:.3f}")
            for one in points
        ],
    )


def _harder_table(result: YieldResult) -> Table:
    return Table(
        title="Harder worlds, 1,000 farmers",
        columns=("world", "lost in 100,000, expected", "KALE, of that with true chances known"),
        rows=[
            (
                one.world.name,
                f"{one.default.lost_share * 1e5:.3f}",
                f"{one.default.kale_each / one.informed.kale_each:.3f}",
            )
            for one in result.harder
        ],
    )


def _group_table(who: str, groups: Sequence[GroupResult]) -> Table:
    alone = groups[0].grouped
    return Table(
        title=f"Grouped harvests, {who}",
        columns=(
            "group",
            "blocks together",
            "XLM saved per farmer and block",
            "KALE that waits per farmer",
            "KALE earned",
            "KALE earned if plants may lack stakes",
        ),
        rows=[
            (
                f"{one.size}",
                f"{one.grouped.harvested / max(1, one.grouped.harvests):.1f}",
                f"{(_fee(alone) - _fee(one.grouped)) / _KALE:.6f}",
                f"{one.grouped.idle / max(1, one.grouped.farmer_blocks) / _KALE:,.0f}",
                f"{one.grouped.kale_each / alone.kale_each:.3f}",
                f"{one.stubborn.kale_each / alone.kale_each:.3f}",
            )
            for one in groups
        ],
    )


def _fee(outcome: Outcome) -> float:
    return outcome.fees / max(1, outcome.farmer_blocks)


def _gate_table(result: YieldResult) -> Table:
    gate = result.gate
    return Table(
        title="The profitability gate, 1,000 farmers",
        columns=("changes of the price", "took part", "sat out", "decided wrongly", "blocks wrong"),
        rows=[
            (
                f"{gate.changes}",
                f"{gate.took_part:,}",
                f"{gate.sat_out:,}",
                f"{gate.wrong:,}",
                f"at most {gate.most_wrong} after a change",
            )
        ],
    )


def _plain(result: YieldResult) -> dict[str, Any]:
    """Return the figures of all outcomes, without the functions of their plans."""
    return {
        "origin": asdict(result.origin),
        "settings": asdict(result.plan),
        "worlds": [_figures(world) for world in result.worlds],
        "harder": [_figures(one) for one in result.harder],
        "rich_groups": [_figures(one) for one in result.rich_groups],
        "groups": [_figures(one) for one in result.groups],
        "gate": asdict(result.gate),
    }


def _figures(value: Any) -> Any:
    if isinstance(value, Outcome):
        figures = {name: found for name, found in vars(value).items() if name != "plan"}
        shares = {"kale_each": value.kale_each, "lost_share": value.lost_share}
        return {"plan": value.plan.name, **figures, **shares}
    if is_dataclass(value):
        return {name: _figures(found) for name, found in vars(value).items()}
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list | tuple):
        return [_figures(one) for one in value]
    return value
