"""Results for people (a table, Markdown, a picture) and for programs (JSON)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.goals import Goal, goals_of, goals_of_processes
from benchmarks.machine import Origin
from benchmarks.phases import PhaseResult
from benchmarks.picture import draw
from benchmarks.results import BenchResult, CarrierRun

RESULTS = Path("benchmarks") / "results"
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

#: Said of a run whose wallet had a limit of CPU.
_SHARE = (
    " Each wallet process may use {:.0%} of a core, as with a container's limit: the benchmark"
    " stops it when it has used that up. So the wallet is what limits, not the chain, which runs on"
    " the same machine and without a limit, as does PostgreSQL."
)


def write(result: BenchResult, directory: Path = RESULTS) -> list[Path]:
    """JSON, Markdown and SVG, named after date and commit; the files."""
    files = {
        "bench.json": as_json(result),
        "bench.md": as_markdown(result),
        "bench.svg": draw(result.runs or result.unlimited),
    }
    return write_files(result.origin, files, directory)


def write_files(origin: Origin, files: Mapping[str, str], directory: Path = RESULTS) -> list[Path]:
    """Writes files by name into the folder of a date and a commit, beside those of other runs."""
    folder = directory / origin.label
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_text(content, encoding="utf-8")
    return paths


def to_json(content: Mapping[str, Any]) -> str:
    """A result's file for programs; enums are their values."""
    return json.dumps(content, indent=2, default=_plain) + "\n"


def as_json(result: BenchResult) -> str:
    """Everything, with the goals."""
    content = asdict(result)
    content["goals"] = [asdict(goal) | {"met": goal.met} for goal in all_goals(result)]
    content["ratios"] = [asdict(item) | {"ratio": item.ratio} for item in result.ratios()]
    return to_json(content)


def all_goals(result: BenchResult) -> list[Goal]:
    """The goals of all runs on the network as it was measured, and of the comparison."""
    goals = [goal for run in result.runs for goal in goals_of(run)]
    return [*goals, *goals_of_processes(result.unlimited)]


def show(console: Console, result: BenchResult) -> None:
    """The same on a terminal."""
    for run in (*result.runs, *result.unlimited):
        table = Table(*_COLUMNS, title=run.title)
        for row in _rows(run):
            table.add_row(*row)
        console.print(table)
    for item in result.ratios():
        console.print(f"{item.name}: {item.ratio:.2f}", highlight=False)
    goals = Table("goal", "figure", "at most", "", title="Goals")
    for goal in all_goals(result):
        style = "green" if goal.met else "red"
        goals.add_row(*_goal_row(goal), style=style)
    console.print(goals)


def as_markdown(result: BenchResult) -> str:
    """One page: where it comes from, figures, goals, picture."""
    parts = [f"# Benchmark of {result.origin.date}, commit {result.origin.commit}", ""]
    parts += [describe(result.origin), "", f"`{result.command}`", ""]
    for run in (*result.runs, *result.unlimited):
        parts += [f"## {run.title}", "", _describe_network(run), ""]
        parts += [*markdown_table(_COLUMNS, _rows(run)), "", *_rpc_calls(run)]
    if ratios := result.ratios():
        rows = [
            (item.name, f"{item.left:.2f}", f"{item.right:.2f}", f"{item.ratio:.2f}")
            for item in ratios
        ]
        parts += ["## Side by side", "", *markdown_table(("", "left", "right", "ratio"), rows), ""]
    if goals := all_goals(result):
        rows = [_goal_row(goal) for goal in goals]
        parts += ["## Goals", "", *markdown_table(("goal", "figure", "at most", ""), rows), ""]
    parts += ["![Operations per ledger over the block](bench.svg)", ""]
    return "\n".join(parts)


def describe(origin: Origin) -> str:
    """The machine in one line."""
    return (
        f"{origin.cpu}, {origin.cores} cores, {origin.memory_gib} GiB, {origin.system}, "
        f"Python {origin.python}, PostgreSQL {origin.postgres}"
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


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


def _rows(run: CarrierRun) -> list[tuple[str, ...]]:
    return [_row(phase) for phase in run.phases]


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


def _rpc_calls(run: CarrierRun) -> list[str]:
    lines = [
        f"- {phase.name}: "
        + ", ".join(f"{name} {count}" for name, count in sorted(phase.rpc_calls.items()))
        for phase in run.phases
        if phase.rpc_calls
    ]
    return ["Calls of the wallet's RPC node:", "", *lines, ""] if lines else []


def _goal_row(goal: Goal) -> tuple[str, str, str, str]:
    unit = f" {goal.unit}" if goal.unit else ""
    word = "met" if goal.met else "NOT met"
    return goal.name, f"{goal.figure:g}{unit}", f"{goal.at_most:g}{unit}", word


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")
