"""The fault run's columns and rows; a failed cell shows the command that repeats it."""

import shlex
from dataclasses import asdict
from typing import Any

from trials.faults import liars_table
from trials.faults.run import Cell, FaultResult
from trials.report import Report, Table

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


def report_of(result: FaultResult) -> Report:
    """Return the report of every cell, of the costs of lies, and of all faults."""
    cells = Table(
        title="What was broken, and what came of it",
        columns=_COLUMNS,
        rows=[_row(cell) for cell in result.cells],
        before=f"Seed {result.seed}.",
    )
    told = liars_table.rows(result.cells)
    liars = Table(title="What lies have cost", columns=liars_table.COLUMNS, rows=told)
    return Report(
        name="faults",
        title="Faults",
        origin=result.origin,
        commands=result.commands,
        parts=[cells, liars] if told else [cells],
        problems=problems(result),
        verdict=summary(result),
        passed=result.passed,
        content=_content(result),
    )


def summary(result: FaultResult) -> str:
    """Return the result in one line."""
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
    """Return the faults in words, with the command that shows each again."""
    lines = list(result.final)
    lines += [f"{group}: '{row}' has struck in no phase" for group, row in result.missed]
    for cell in result.cells:
        if not cell.passed:
            lines += [f"{cell.scenario}, {cell.phase}: {cell.error}", *cell.findings.notes]
            lines.append(f"  again: {command(cell, result.seed)}")
    return lines


def command(cell: Cell, seed: int) -> str:
    """Return the command that reproduces a cell."""
    short = " --quick" if cell.group.startswith("quick") else ""
    name = shlex.quote(cell.scenario)
    return f"python -m trials.faults run{short} --group {cell.group} --only {name} --seed {seed}"


def _content(result: FaultResult) -> dict[str, Any]:
    """Return the complete result for programs."""
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
    return content


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
