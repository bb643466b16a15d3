"""The table for people, Markdown and JSON; a failed cell tells how to see it again."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import Origin
from benchmarks.report import RESULTS, describe, markdown_table, to_json, write_files
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
    "kills",
    "seconds",
    "",
)


def show(console: Console, result: FaultResult) -> None:
    """On a terminal."""
    table = Table(*_COLUMNS, title="What was broken, and what came of it")
    for cell in result.cells:
        table.add_row(*_row(cell), style="" if cell.passed else "red")
    console.print(table)
    for line in problems(result):
        console.print(line, style="red", markup=False, highlight=False)
    console.print(summary(result), style="bold green" if result.passed else "bold red")


def summary(result: FaultResult) -> str:
    """One line."""
    failed = sum(not cell.passed for cell in result.cells)
    kills = sum(cell.kills for cell in result.cells)
    operations = sum(cell.findings.asked for cell in result.cells)
    word = "all as promised" if result.passed else f"{failed} cells failed"
    left_out = "".join(f"; not run: {item}" for item in result.not_run)
    return f"{len(result.cells)} cells, {operations} operations, {kills} kills: {word}{left_out}"


def problems(result: FaultResult) -> list[str]:
    """What is wrong in words, with the command that shows it again."""
    lines = list(result.final)
    for cell in result.cells:
        if not cell.passed:
            lines += [f"{cell.scenario}, {cell.phase}: {cell.error}", *cell.findings.notes]
            lines.append(f"  again: {command(cell, result.seed)}")
    return lines


def command(cell: Cell, seed: int) -> str:
    """Reproduces a cell."""
    return f"python -m faults run --group {cell.group} --only '{cell.scenario}' --seed {seed}"


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
    )


def joined(old: FaultResult, new: FaultResult) -> FaultResult:
    """Both; of what both have, the new one's."""
    if old.seed != new.seed:
        return new
    again = {(cell.group, cell.scenario, cell.phase) for cell in new.cells}
    groups = {cell.group for cell in new.cells} | {_group(item) for item in new.not_run}
    return replace(
        new,
        cells=[cell for cell in old.cells if (cell.group, cell.scenario, cell.phase) not in again]
        + new.cells,
        final=[item for item in old.final if _group(item) not in groups] + new.final,
        not_run=[item for item in old.not_run if _group(item) not in groups] + new.not_run,
    )


def _group(line: str) -> str:
    """Lines about a group begin with its name."""
    return line.partition(":")[0]


def as_json(result: FaultResult) -> str:
    """Everything."""
    content = asdict(result) | {"passed": result.passed}
    content["cells"] = [
        asdict(cell) | {"passed": cell.passed, "command": command(cell, result.seed)}
        for cell in result.cells
    ]
    return to_json(content)


def as_markdown(result: FaultResult) -> str:
    """One page."""
    parts = [f"# Faults of {result.origin.date}, commit {result.origin.commit}", ""]
    parts += [describe(result.origin), "", f"Seed {result.seed}. {summary(result)}.", ""]
    parts += markdown_table(_COLUMNS, [_row(cell) for cell in result.cells])
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
        str(cell.kills),
        f"{cell.seconds:.1f}",
        cell.verdict,
    )
