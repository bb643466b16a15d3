"""The table for people, Markdown and JSON; a failed cell tells how to see it again."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import Origin
from benchmarks.report import RESULTS, describe, markdown_table, to_json, write_files
from faults import liars_report
from faults.checker import Findings
from faults.run import Cell, FaultResult

_COLUMNS = (
    "fault",
    "phase",
    "done",
    "lost",
    "doubled",
    "open",
    "given up",
    "wrong",
    "over cap",
    "overpaid",
    "kills",
    "struck",
    "seconds",
    "",
)


def show(console: Console, result: FaultResult) -> None:
    """On a terminal."""
    table = Table(*_COLUMNS, title="What was broken, and what came of it")
    for cell in result.cells:
        table.add_row(*_row(cell), style="" if cell.passed else "red")
    console.print(table)
    if told := liars_report.rows(result.cells):
        liars = Table(*liars_report.COLUMNS, title="What lies have cost")
        for row in told:
            liars.add_row(*row, style="" if row[-1] == "ok" else "red")
        console.print(liars)
    for line in problems(result):
        console.print(line, style="red", markup=False, highlight=False)
    console.print(summary(result), style="bold green" if result.passed else "bold red")


def summary(result: FaultResult) -> str:
    """One line."""
    failed = sum(not cell.passed for cell in result.cells)
    kills = sum(cell.kills for cell in result.cells)
    operations = sum(cell.findings.asked for cell in result.cells)
    unreached = sum(cell.is_unreached for cell in result.cells)
    wrong = [
        (failed, "cells failed"),
        (len(result.missed), "rows that struck nowhere"),
        (len(result.final), "differences at the end of groups"),
    ]
    told = ", ".join(f"{count} {what}" for count, what in wrong if count)
    word = "all as promised" if result.passed else told or "nothing was run"
    left_out = "".join(f"; not run: {item}" for item in result.not_run)
    cells = f"{len(result.cells)} cells ({unreached} not reached)"
    return f"{cells}, {operations} operations, {kills} kills: {word}{left_out}"


def problems(result: FaultResult) -> list[str]:
    """What is wrong in words, with the command that shows it again."""
    lines = list(result.final)
    lines += [f"{group}: '{row}' has struck in no phase" for group, row in result.missed]
    for cell in result.cells:
        if not cell.passed:
            lines += [f"{cell.scenario}, {cell.phase}: {cell.error}", *cell.findings.notes]
            lines.append(f"  again: {command(cell, result.seed)}")
    return lines


def command(cell: Cell, seed: int) -> str:
    """Reproduces a cell."""
    short = " --quick" if cell.group.startswith("quick") else ""
    name = shlex.quote(cell.scenario)
    return f"python -m faults run{short} --group {cell.group} --only {name} --seed {seed}"


def write(result: FaultResult, directory: Path = RESULTS) -> list[Path]:
    """JSON and Markdown beside the benchmark's; the files.

    Rows of the same commit and seed that were run apart stand together; those that were run again
    are replaced.
    """
    earlier = directory / result.origin.label / "faults.json"
    if earlier.exists():
        result = joined(read(earlier), result)
    files = {"faults.json": as_json(result), "faults.md": as_markdown(result)}
    return write_files(result.origin, files, directory)


def read(path: Path) -> FaultResult:
    """What `as_json` has written."""
    content = json.loads(path.read_text(encoding="utf-8"))
    own = {field.name for field in fields(Cell)}
    cells = [
        Cell(
            **{name: value for name, value in item.items() if name in own - {"findings"}},
            findings=Findings(**item["findings"]),
        )
        for item in content["cells"]
    ]
    return FaultResult(
        origin=Origin(**content["origin"]),
        seed=content["seed"],
        cells=cells,
        final=content["final"],
        not_run=content["not_run"],
        whole=content["whole"],
        commands=content["commands"],
    )


def joined(old: FaultResult, new: FaultResult) -> FaultResult:
    """Both; of what both have, the new one's.

    What was wrong at the end of a group is wrong until all of its rows were run again: those that
    are run alone have a pool of their own.
    """
    if old.seed != new.seed:
        return new
    again = {(cell.group, cell.scenario, cell.phase) for cell in new.cells}
    return replace(
        new,
        cells=[
            cell
            for cell in old.cells
            if cell.group not in new.whole and (cell.group, cell.scenario, cell.phase) not in again
        ]
        + new.cells,
        final=_kept(old.final, new) + new.final,
        not_run=_kept(old.not_run, new) + new.not_run,
        whole=list(dict.fromkeys([*old.whole, *new.whole])),
        commands=list(dict.fromkeys([*old.commands, *new.commands])),
    )


def _kept(lines: Sequence[str], new: FaultResult) -> list[str]:
    """Lines of groups that the new run has not run wholly, nor has the same of."""
    known = {*new.final, *new.not_run}
    return [line for line in lines if _group(line) not in new.whole and line not in known]


def _group(line: str) -> str:
    """Lines about a group begin with its name."""
    return line.partition(":")[0]


def as_json(result: FaultResult) -> str:
    """Everything."""
    content = asdict(result) | {"passed": result.passed}
    content["cells"] = [
        asdict(cell)
        | {
            "passed": cell.passed,
            "verdict": cell.verdict,
            "command": command(cell, result.seed),
        }
        for cell in result.cells
    ]
    return to_json(content)


def as_markdown(result: FaultResult) -> str:
    """One page."""
    parts = [f"# Faults of {result.origin.date}, commit {result.origin.commit}", ""]
    parts += [describe(result.origin), "", f"Seed {result.seed}. {summary(result)}.", ""]
    parts += ["```", *result.commands, "```", ""]
    parts += markdown_table(_COLUMNS, [_row(cell) for cell in result.cells])
    if told := liars_report.rows(result.cells):
        parts += ["", "## What lies have cost", "", *markdown_table(liars_report.COLUMNS, told)]
    if lines := problems(result):
        parts += ["", "```", *lines, "```"]
    return "\n".join([*parts, ""])


def _row(cell: Cell) -> tuple[str, ...]:
    found = cell.findings
    given_up = ", ".join(f"{count} {reason}" for reason, count in found.given_up.items())
    return (
        cell.scenario,
        cell.phase,
        f"{found.done} of {found.asked}",
        str(found.lost),
        str(found.doubled),
        str(found.left_open),
        given_up or "0",
        str(found.wrong),
        str(found.over_cap),
        f"{found.overpaid:,}",
        str(cell.kills),
        str(cell.strikes),
        f"{cell.seconds:.1f}",
        cell.verdict,
    )
