"""A day for people (a table, Markdown) and for programs (JSON)."""

from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.report import RESULTS, describe, markdown_table, to_json, write_files
from faults.day import DayResult, Hour
from libs.common.names import SERVICES

_COLUMNS = (
    "hour",
    "planted",
    "worked",
    "harvested",
    "killed",
    *(f"{name} MiB" for name in SERVICES),
)


def show(console: Console, result: DayResult) -> None:
    """On a terminal."""
    table = Table(*_COLUMNS, title="A day of blocks")
    for hour in result.hours:
        table.add_row(*_row(hour))
    console.print(table)
    for line in result.differences:
        console.print(line, style="red", markup=False, highlight=False)
    console.print(summary(result), style="bold green" if result.passed else "bold red")


def summary(result: DayResult) -> str:
    """One line."""
    plan = result.plan
    kills = sum(len(hour.killed) for hour in result.hours)
    word = "equal to the chain" if not result.differences else "NOT equal to the chain"
    return (
        f"{plan.blocks} blocks of {plan.farmers} farmers in {result.seconds / 60:.0f} minutes, "
        f"{kills} kills: {result.compared} events, {word}; {result.planted} of {result.asked} "
        f"planted, {result.unworked} unworked, {result.unharvested} unharvested"
    )


def write(result: DayResult, directory: Path = RESULTS) -> list[Path]:
    """JSON and Markdown beside the other results; the files."""
    files = {"day.json": as_json(result), "day.md": as_markdown(result)}
    return write_files(result.origin, files, directory)


def as_json(result: DayResult) -> str:
    """Everything."""
    return to_json(asdict(result) | {"passed": result.passed})


def as_markdown(result: DayResult) -> str:
    """One page."""
    plan = result.plan
    parts = [f"# A day of blocks, {result.origin.date}, commit {result.origin.commit}", ""]
    parts += [describe(result.origin), ""]
    parts += [
        f"{summary(result)}. Ledgers of {plan.ledger_seconds:g} s, blocks of "
        f"{plan.block_seconds} s, carrier {plan.carrier.value}, seed {plan.seed}.",
        "",
    ]
    parts += markdown_table(_COLUMNS, [_row(hour) for hour in result.hours])
    if result.differences:
        parts += ["", "```", *result.differences, "```"]
    return "\n".join([*parts, ""])


def _row(hour: Hour) -> tuple[str, ...]:
    memory = (f"{hour.peak_mib.get(name, 0.0):.0f}" for name in SERVICES)
    counts = (hour.number, hour.planted, hour.worked, hour.harvested)
    return (*map(str, counts), ", ".join(hour.killed), *memory)
