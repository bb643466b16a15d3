"""The benchmark's columns and rows."""

from dataclasses import asdict

from trials.bench.goals import Goal, goals_of, goals_of_authenticators, goals_of_processes
from trials.bench.phases import PhaseResult
from trials.bench.picture import draw
from trials.bench.results import BenchResult, CarrierRun, Ratio
from trials.report import Picture, Report, Table

_COLUMNS = (
    "phase",
    "succeeded",
    "ledgers (at best)",
    "ops per ledger",
    "ops per tx",
    "stroops each",
    "dearest tx",
    "CPU ms each",
    "seconds",
    "peak MiB",
)

#: Remark on a run whose wallet had a limit of CPU.
_SHARE = (
    " Each wallet process may use {:.0%} of a core, as with a container's limit: the benchmark"
    " stops it when it has used that up. So the wallet is what limits, not the chain, which runs on"
    " the same machine and without a limit, as does PostgreSQL."
)


def report_of(result: BenchResult) -> Report:
    """Return the report of every run, the ratios between runs, the goals, and the picture."""
    goals, ratios = all_goals(result), result.ratios()
    parts = [_table(run) for run in (*result.runs, *result.unlimited)]
    parts += [_side_by_side(ratios)] if ratios else []
    parts += [goals_table(goals)] if goals else []
    content = asdict(result)
    content["goals"] = [asdict(goal) | {"met": goal.met} for goal in goals]
    content["ratios"] = [asdict(item) | {"ratio": item.ratio} for item in ratios]
    return Report(
        name="bench",
        title="Benchmark",
        origin=result.origin,
        commands=[result.command],
        parts=parts,
        verdict=f"{sum(goal.met for goal in goals)} of {len(goals)} goals met",
        passed=all(goal.met for goal in goals),
        content=content,
        picture=Picture(
            alt="Operations per ledger over the block", svg=draw(result.runs or result.unlimited)
        ),
    )


def all_goals(result: BenchResult) -> list[Goal]:
    """Return the goals of all runs on the network as it was measured, and of the comparison."""
    goals = [goal for run in result.runs for goal in goals_of(run)]
    return [*goals, *goals_of_authenticators(result), *goals_of_processes(result.unlimited)]


def _table(run: CarrierRun) -> Table:
    return Table(
        title=run.title,
        columns=_COLUMNS,
        rows=[_row(phase) for phase in run.phases],
        before=_describe_network(run),
        after=_rpc_calls(run),
    )


def _side_by_side(ratios: list[Ratio]) -> Table:
    return Table(
        title="Side by side",
        columns=("", "left", "right", "ratio"),
        rows=[
            (item.name, f"{item.left:.2f}", f"{item.right:.2f}", f"{item.ratio:.2f}")
            for item in ratios
        ],
    )


def goals_table(goals: list[Goal]) -> Table:
    """Return every figure beside its goal."""
    rows = [_goal_row(goal) for goal in goals]
    return Table(title="Goals", columns=("goal", "figure", "at most", ""), rows=rows)


def _describe_network(run: CarrierRun) -> str:
    limits = run.limits.ledger
    share = "" if run.cpu_share is None else _SHARE.format(run.cpu_share)
    kind = "mainnet's settings as measured" if run.network_as_measured else "limits raised"
    return (
        f"Ledgers of {run.ledger_seconds:g} s, {kind}: {limits.write_bytes:,} write bytes, "
        f"{limits.write_entries:,} write entries, {limits.envelope_bytes:,} bytes of transactions, "
        f"{limits.instructions:,} instructions in each of {run.limits.clusters} clusters.{share}"
        f" Together {run.fee_each:,.0f} stroops of XLM per farmer and block."
    )


def _row(phase: PhaseResult) -> tuple[str, ...]:
    return (
        phase.name,
        f"{phase.succeeded} of {phase.requested}",
        f"{phase.ledgers_used} ({phase.fewest.ledgers}: {phase.fewest.bound_by})",
        " ".join(str(bar.operations) for bar in phase.ledgers),
        f"up to {phase.most_in_one}",
        f"{phase.fee_each:,.0f}",
        f"{phase.fee_dearest:,}",
        f"{phase.cpu_ms_each:.2f}",
        f"{phase.wall_seconds:.1f}",
        f"{phase.peak_mib:.0f}",
    )


def _rpc_calls(run: CarrierRun) -> str:
    lines = [
        f"- {phase.name}: "
        + ", ".join(f"{name} {count}" for name, count in sorted(phase.rpc_calls.items()))
        for phase in run.phases
        if phase.rpc_calls
    ]
    return "\n".join(["Calls of the wallet's RPC node:", "", *lines]) if lines else ""


def _goal_row(goal: Goal) -> tuple[str, str, str, str]:
    unit = f" {goal.unit}" if goal.unit else ""
    word = "met" if goal.met else "NOT met"
    return goal.name, f"{goal.figure:g}{unit}", f"{goal.at_most:g}{unit}", word
