"""All comparisons of one `make yield`, on as many processors as there are."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from devstack.stack import Progress
from libs.kale.constants import STROOPS_PER_KALE
from pooler.strategies import harvests, stake, timing, works
from pooler.strategies.model import HarvestFacts
from trials.machine import Origin, origin
from trials.yields.gate import GateOutcome, simulate_gate
from trials.yields.hashes import equal_turns, one_after_another
from trials.yields.hindsight import (
    best_within,
    clairvoyant,
    fixed_plans,
    informed_plans,
    plans_by_risk,
)
from trials.yields.plans import Fees, Outcome, Plan
from trials.yields.pool import farm_all
from trials.yields.world import Crowd, World, strangers, true_chances

#: Works with a stake that may come too late: one in 100,000.
BOUND = 1e-5
#: Stroops of KALE of our farmers: a fifth of them has each.
BALANCES = tuple(kale * 1_000 * STROOPS_PER_KALE for kale in range(1, 6))
#: Enough for stakes at the maximum in thirteen blocks at once, and more.
RICH = (20_000 * STROOPS_PER_KALE,)
#: Sizes of groups of harvests that are compared.
GROUPS = (1, 2, 4, 8, 12)

DEFAULT = Plan(name="default")
AT_240 = Plan(name="default, works at 240 s", send=timing.share, share=0.8)
HOMESTEAD = Plan(
    name="homestead: no stake, 6 zeros, 240 s",
    stake=stake.none,
    send=timing.share,
    share=0.8,
    sharing=one_after_another,
    enough=6,
)
RIVALS = (
    AT_240,
    HOMESTEAD,
    Plan(
        name="KALE-farmer: no stake, equal turns, 282 s",
        stake=stake.none,
        send=timing.share,
        share=0.94,
        sharing=equal_turns,
    ),
    Plan(name="default, equal turns", sharing=equal_turns),
    Plan(name="default, no stake", stake=stake.none),
    Plan(name="default, second work", early=works.second_work),
)


@dataclass(frozen=True, kw_only=True)
class YieldPlan:
    """The settings of one comparison."""

    #: Blocks of worlds with 25 and with 1,000 farmers, and those of them that warm the pool up.
    blocks_25: int
    blocks_1000: int
    warm_up: int
    #: From which everything is drawn.
    seed: int
    #: The command line, for the report.
    command: str


@dataclass(frozen=True, kw_only=True)
class WorldResult:
    """All plans in one world."""

    #: The world.
    world: World
    #: The default plan.
    default: Outcome
    #: Other plans, AT_240 and HOMESTEAD among them.
    rivals: Sequence[Outcome]
    #: Schedules that are the same in every block, or that know the world's chances.
    schedules: Sequence[Outcome]
    #: The default plan at other risks.
    by_risk: Sequence[Outcome]
    #: The plan that knows each block's end.
    clairvoyant: Outcome

    @property
    def best(self) -> Outcome:
        """Return the best schedule that keeps to the bound."""
        return best_within(self.schedules, bound=BOUND)

    def rival(self, plan: Plan) -> Outcome:
        """Return the outcome of one of the rivals."""
        return next(one for one in self.rivals if one.plan.name == plan.name)


@dataclass(frozen=True, kw_only=True)
class GroupResult:
    """Harvests in groups of one size."""

    #: Blocks in a group at most.
    size: int
    #: The strategy as it is, and one that waits for the group whatever plants lack.
    grouped: Outcome
    stubborn: Outcome


@dataclass(frozen=True, kw_only=True)
class HarderResult:
    """The default plan in a world in which something is worse."""

    #: The world.
    world: World
    #: The default plan, and the same strategy told the world's true chances.
    default: Outcome
    informed: Outcome


@dataclass(frozen=True, kw_only=True)
class YieldResult:
    """Everything that one `make yield` found."""

    #: Machine, versions, commit.
    origin: Origin
    #: The settings.
    plan: YieldPlan
    #: The worlds.
    worlds: Sequence[WorldResult]
    #: Worlds in which something is worse than in those above.
    harder: Sequence[HarderResult]
    #: Groups of harvests of farmers with enough KALE for all, and of those of the worlds.
    rich_groups: Sequence[GroupResult]
    groups: Sequence[GroupResult]
    #: The gate.
    gate: GateOutcome


async def run_yield(plan: YieldPlan, progress: Progress) -> YieldResult:
    """Run all comparisons."""
    fees = Fees()
    first, *_ = worlds(plan)
    rich = replace(first, name=f"{first.name}, 20,000 KALE each", balances=RICH)
    with _farmers() as farm:
        return YieldResult(
            origin=await origin(),
            plan=plan,
            worlds=[_compare(world, fees, farm, progress) for world in worlds(plan)],
            harder=[_harder(world, fees, farm, progress) for world in harder_worlds(plan)],
            rich_groups=_groups(rich, fees, farm, progress),
            groups=_groups(first, fees, farm, progress),
            gate=_gate(gate_world(plan), fees, progress),
        )


def worlds(plan: YieldPlan) -> list[World]:
    """Return the worlds: 25 and 1,000 farmers among ten times as many strangers."""
    return [
        replace(world, name=f"{world.name}{also}", crowds=_crowds(world, strays))
        for strays, also in ((0, ""), (1, ", an early stranger"))
        for world in (
            World(
                name="25 farmers",
                seed=plan.seed,
                blocks=plan.blocks_25,
                warm_up=plan.warm_up,
                farmers=25,
                hash_rate=12e6,
                crowds=(),
                balances=BALANCES,
            ),
            World(
                name="1,000 farmers",
                seed=plan.seed,
                blocks=plan.blocks_1000,
                warm_up=plan.warm_up,
                farmers=1_000,
                hash_rate=99e6,
                crowds=(),
                balances=BALANCES,
            ),
        )
    ]


def harder_worlds(plan: YieldPlan) -> list[World]:
    """Return worlds with 1,000 farmers in which something is worse."""
    world = worlds(plan)[1]
    return [
        replace(world, name="all blocks are opened in time", late_seconds=0.0),
        replace(world, name="three ledgers in a hundred take nothing", loss=0.03),
        replace(
            world, name="single calls, no multicall", plants_per_ledger=183, works_per_ledger=203
        ),
    ]


def gate_world(plan: YieldPlan) -> World:
    """Return the world of the gate: prices change every ten blocks."""
    early = worlds(plan)[3]
    return replace(early, name="gate", blocks=101, warm_up=0)


def _crowds(world: World, strays: int) -> tuple[Crowd, ...]:
    return strangers(homesteads=6 * world.farmers, kale_farmers=4 * world.farmers, strays=strays)


# How plans are farmed -----------------------------------------------------------------------------

_Farm = Callable[[World, Sequence[Plan], Fees], list[Outcome]]


@contextmanager
def _farmers() -> Iterator[_Farm]:
    """Yield a function that farms a world by plans, on all processors at once."""
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:

        def farm(world: World, plans: Sequence[Plan], fees: Fees) -> list[Outcome]:
            return list(pool.map(partial(farm_all, world, fees=fees), plans))

        yield farm


def _compare(world: World, fees: Fees, farm: _Farm, progress: Progress) -> WorldResult:
    schedules = [*fixed_plans(world), *informed_plans(world)]
    risks = plans_by_risk(DEFAULT)
    plans = [DEFAULT, clairvoyant(world), *RIVALS, *schedules, *risks]
    progress(f"{world.name}: {world.blocks:,} blocks by each of {len(plans)} plans")
    default, knowing, *others = farm(world, plans, fees)
    rivals, others = others[: len(RIVALS)], others[len(RIVALS) :]
    return WorldResult(
        world=world,
        default=default,
        rivals=rivals,
        schedules=others[: len(schedules)],
        by_risk=others[len(schedules) :],
        clairvoyant=knowing,
    )


def _harder(world: World, fees: Fees, farm: _Farm, progress: Progress) -> HarderResult:
    progress(f"harder: {world.name}")
    informed = replace(DEFAULT, name="true chances known", known=true_chances(world))
    default, knowing = farm(world, [DEFAULT, informed], fees)
    return HarderResult(world=world, default=default, informed=knowing)


def _groups(world: World, fees: Fees, farm: _Farm, progress: Progress) -> list[GroupResult]:
    progress(f"groups of harvests: {world.name}")
    plans = [
        Plan(name=f"{size} blocks", harvests=strategy, group=size)
        for size in GROUPS
        for strategy in (harvests.grouped, stubborn)
    ]
    outcomes = farm(world, plans, fees)
    return [
        GroupResult(size=size, grouped=grouped, stubborn=other)
        for size, grouped, other in zip(GROUPS, outcomes[::2], outcomes[1::2], strict=True)
    ]


def stubborn(facts: HarvestFacts) -> tuple[int, ...]:
    """Wait for the whole group, whatever plants lack."""
    return facts.closed if len(facts.closed) >= facts.group else ()


def _gate(world: World, fees: Fees, progress: Progress) -> GateOutcome:
    progress("the gate")
    return simulate_gate(world, fees)
