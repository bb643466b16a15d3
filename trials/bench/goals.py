"""The goals of a run (issue 4): each figure beside its goal, met or not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trials.bench.phases import PhaseResult
from trials.bench.results import BenchResult, CarrierRun, processes_compared
from trials.world import Carrier

#: Stroops of XLM per farmer and block at the measured settings: plant, work and harvest together,
#: without a stake. One adds a write of the farmer's trustline, a read of the token and the burn's
#: event: 6,373 stroops on the measured network (STELLAR.md section 3), which a run reports.
FEE_GOALS = {Carrier.SINGLE: 46_000, Carrier.MULTICALL: 34_000}
#: Milliseconds of CPU of the wallet per operation, building, signing and recording included.
CPU_GOAL = 1.0
#: Percent of that CPU that the authenticators of an operation's rows take.
AUTHENTICATORS_GOAL = 3.0
#: Ledgers above the fewest possible number.
LEDGER_SLACK = 1
#: Time of two wallet processes as a part of the time of one, when the wallet is the limit.
PROCESSES_GOAL = 0.75


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One figure and its goal."""

    #: What is measured.
    name: str
    #: The measured figure.
    figure: float
    #: The most that the figure should be.
    at_most: float
    #: Unit of the figure and the goal.
    unit: str

    @property
    def met(self) -> bool:
        """Tell whether the figure meets its goal."""
        return self.figure <= self.at_most


def goals_of(run: CarrierRun) -> list[Goal]:
    """Return all goals of one carrier's run."""
    goals = [goal for phase in run.phases for goal in _phase_goals(run.name, phase)]
    if run.network_as_measured and not run.staked:
        goals.append(
            Goal(
                name=f"{run.name}: XLM per farmer and block",
                figure=round(run.fee_each),
                at_most=FEE_GOALS[run.carrier],
                unit="stroops",
            )
        )
    return goals


def goals_of_processes(runs: Sequence[CarrierRun]) -> list[Goal]:
    """Return the goals that compare one wallet process with two.

    Two wallet processes are to be faster than one where the wallet is the limit. Only a limit to
    the wallet's CPU ensures that the wallet is the limit, so no other runs are compared.
    """
    return [
        Goal(
            name="two wallet processes: seconds of all phases, as a part of one's",
            figure=round(two.wall_seconds / one.wall_seconds, 2),
            at_most=PROCESSES_GOAL,
            unit="",
        )
        for one, two in processes_compared(runs)
        if one.cpu_share is not None
    ]


def goals_of_authenticators(result: BenchResult) -> list[Goal]:
    """Return the goal of authenticated rows, as a part of what an operation takes on average.

    Only operations with a transaction each count, as in the measurement (authenticators.py): those
    of a multicall share the codes of theirs.
    """
    runs = [run for run in result.runs if run.carrier is Carrier.SINGLE]
    phases = [phase for run in runs for phase in run.phases]
    seconds = sum(phase.cpu_seconds for phase in phases)
    if not seconds:
        return []
    each_ms = 1000 * seconds / sum(phase.requested for phase in phases)
    return [
        Goal(
            name="authenticators of an operation's rows: part of its CPU",
            figure=round(100 * 1000 * result.authenticator_seconds / each_ms, 1),
            at_most=AUTHENTICATORS_GOAL,
            unit="%",
        )
    ]


def _phase_goals(run: str, phase: PhaseResult) -> Iterable[Goal]:
    name = f"{run}, {phase.name}"
    yield Goal(
        name=f"{name}: operations that did not succeed",
        figure=phase.requested - phase.succeeded,
        at_most=0,
        unit="",
    )
    yield Goal(
        name=f"{name}: difference between wallet and chain",
        figure=abs(phase.succeeded - phase.on_chain),
        at_most=0,
        unit="",
    )
    yield Goal(
        name=f"{name}: ledgers ({phase.fewest.ledgers} at best)",
        figure=phase.ledgers_used,
        at_most=phase.fewest.ledgers + LEDGER_SLACK,
        unit="ledgers",
    )
    yield Goal(
        name=f"{name}: CPU of the wallet per operation",
        figure=round(phase.cpu_ms_each, 2),
        at_most=CPU_GOAL,
        unit="ms",
    )
