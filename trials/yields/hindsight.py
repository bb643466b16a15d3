"""The best schedules of sending works that were possible, known only when all is over."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pooler.strategies import timing
from pooler.strategies.model import SendFacts
from trials.yields.plans import Outcome, Plan, Sends
from trials.yields.world import Scene, World, true_chances

#: Seconds before the end at which all works are sent, in every block alike.
FIXED_SECONDS = (12, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 42, 48, 60)
#: Risks of the strategy `late` when it is told the world's true chances.
TRUE_RISKS = (1e-6, 6e-6, 8e-6, 1e-5, 1.3e-5, 2e-5, 1e-4, 1e-3)
#: Risks of the strategy `late` as it is.
RISKS = (1e-7, 1e-6, 1e-4, 1e-3, 1e-2)


def fixed_plans(world: World) -> list[Plan]:
    """Return plans that send all works a fixed time before the end."""
    return [
        Plan(
            name=f"all works {seconds} s before the end",
            send=timing.share,
            share=(world.interval - seconds) / world.interval,
        )
        for seconds in FIXED_SECONDS
    ]


def informed_plans(world: World) -> list[Plan]:
    """Return plans that know the chances of the world, at different risks."""
    known = true_chances(world)
    return [
        Plan(name=f"late, true chances known, risk {risk:g}", known=known, risk=risk)
        for risk in TRUE_RISKS
    ]


def plans_by_risk(plan: Plan) -> list[Plan]:
    """Return the plan at different risks."""
    return [replace(plan, name=f"late, risk {risk:g}", risk=risk) for risk in RISKS]


def clairvoyant(world: World) -> Plan:
    """Return the plan that knows each block's end, and each ledger that takes nothing."""
    return Plan(name="knows every block", sender=_Clairvoyant(world=world))


@dataclass(frozen=True, kw_only=True)
class _Clairvoyant:
    """Sends so that all works land in the last ledgers of the block that take any."""

    world: World

    def __call__(self, scene: Scene, facts: SendFacts) -> Sends:
        """Return the works of each ledger, from the last one back."""
        left, sends = facts.works, dict[int, int]()
        for ledger in reversed(list(scene.ledgers_after(0))):
            sends[ledger - 1] = min(left, self.world.works_per_ledger)
            left -= sends[ledger - 1]
            if not left:
                break
        return sends


def best_within(outcomes: Sequence[Outcome], *, bound: float) -> Outcome:
    """Return the outcome that earned the most of those that lost no more than the bound.

    Raise ValueError when none keeps to it.
    """
    kept = [outcome for outcome in outcomes if outcome.lost_share <= bound]
    if not kept:
        raise ValueError(f"no schedule loses {bound:g} or less")
    return max(kept, key=lambda outcome: outcome.kale_each)
