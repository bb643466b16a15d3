"""The table per package, the list of survivors, and whether the goals are met."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rich.console import Console
from rich.table import Table

from trials.mutants.excuses import Excuse
from trials.mutants.model import Outcome, Verdict
from trials.mutants.results import as_entry

#: At least this share of the mutants that are not excused is to be killed.
LEAST_KILLED = 0.90
#: At most this share of the mutants may be excused.
MOST_EXCUSED = 0.08


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The number of mutants with each verdict."""

    #: Counts by verdict.
    counts: Counter[Verdict]

    @property
    def total(self) -> int:
        """Return the number of all mutants."""
        return self.counts.total()

    @property
    def killed(self) -> float:
        """Return the killed share of the mutants that are not excused; 1 when there is none."""
        rest = self.total - self.counts[Verdict.EXCUSED]
        return self.counts[Verdict.KILLED] / rest if rest else 1.0

    @property
    def excused(self) -> float:
        """Return the share of excused mutants."""
        return self.counts[Verdict.EXCUSED] / self.total if self.total else 0.0

    def is_good(self) -> bool:
        """Tell whether both goals are met."""
        return self.killed >= LEAST_KILLED and self.excused <= MOST_EXCUSED


def tally(outcomes: Collection[Outcome]) -> Tally:
    """Count the outcomes by verdict."""
    return Tally(counts=Counter(outcome.verdict for outcome in outcomes))


def by_package(outcomes: Collection[Outcome]) -> dict[str, Tally]:
    """Return a tally for each folder, in the order of the folders."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(str(PurePosixPath(outcome.mutant.path).parent), []).append(outcome)
    return {folder: tally(found[folder]) for folder in sorted(found)}


def show(console: Console, outcomes: Sequence[Outcome], stale: Sequence[Excuse]) -> None:
    """Print survivors, stale excuses and the table."""
    for outcome in outcomes:
        if outcome.verdict in {Verdict.SURVIVED, Verdict.TIMED_OUT}:
            console.print(_line(outcome), markup=False, highlight=False)
    for excuse in stale:
        where = f"{excuse.path} {excuse.function}: {excuse.mutation}: {excuse.text}"
        console.print(f"stale excuse: {where}", markup=False, highlight=False)
    table = Table("package", *("mutants", *(verdict.value for verdict in Verdict)), "of the rest")
    for column in table.columns[1:]:
        column.justify = "right"
    for folder, part in by_package(outcomes).items():
        table.add_row(folder, *_cells(part))
    table.add_section()
    table.add_row("all", *_cells(tally(outcomes)))
    console.print(table)


def as_json(outcomes: Sequence[Outcome], stale: Sequence[Excuse]) -> dict[str, object]:
    """Return survivors, stale excuses and the table for programs."""
    whole = tally(outcomes)
    return {
        "killed": round(whole.killed, 4),
        "excused": round(whole.excused, 4),
        "is_good": whole.is_good(),
        "packages": {
            folder: {verdict.value: part.counts[verdict] for verdict in Verdict}
            for folder, part in by_package(outcomes).items()
        },
        "stale": [
            {
                "file": excuse.path,
                "function": excuse.function,
                "mutation": excuse.mutation,
                "line": excuse.text,
            }
            for excuse in stale
        ],
        "mutants": [as_entry(outcome) for outcome in outcomes],
    }


def _cells(part: Tally) -> list[str]:
    counts = [str(part.counts[verdict]) for verdict in Verdict]
    return [str(part.total), *counts, f"{part.killed:.1%}"]


def _line(outcome: Outcome) -> str:
    mutant = outcome.mutant
    nth = f" ({mutant.nth})" if mutant.nth > 1 else ""
    tests = f"{outcome.tests} tests" if outcome.tests else "no test runs it"
    if outcome.left_out:
        tests += f", {outcome.left_out} left out"
    head = f"{outcome.verdict.value} {mutant.id}: {mutant.path}:{mutant.line} {mutant.function}"
    return f"{head}: {mutant.mutation}{nth}: {mutant.text} [{tests}]"
