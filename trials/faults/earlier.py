"""Results of earlier runs of the same commit: rows that were run apart are reported together.

The JSON that is read is a build output: git ignores it, and a fresh clone has none.
"""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from trials import report
from trials.faults.checker import Findings
from trials.faults.run import Cell, FaultResult
from trials.faults.tables import report_of
from trials.machine import Origin


def write(result: FaultResult, directory: Path = report.RESULTS) -> list[Path]:
    """Write a run, together with the earlier runs of its commit and seed; return the files.

    Rows that were run again are replaced.
    """
    earlier = directory / result.origin.label / "faults.json"
    if earlier.exists():
        result = joined(read(earlier), result)
    return report.write(report_of(result), directory)


def read(path: Path) -> FaultResult:
    """Read the JSON that `write` has left for programs."""
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
    """Join two results; where both have a row, take the row of the new result.

    A fault at the end of a group stays until all rows of the group were run again: rows that are
    run alone have a pool of their own.
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
    """Return the lines of groups that the new run has not run as a whole.

    Lines that the new run has, too, are left out.
    """
    known = {*new.final, *new.not_run}
    return [line for line in lines if _group(line) not in new.whole and line not in known]


def _group(line: str) -> str:
    """Return the group of a line: lines about a group begin with its name."""
    return line.partition(":")[0]
