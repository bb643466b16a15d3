"""The comparison's columns and rows."""

from dataclasses import asdict

from trials.history.run import GOAL, NOISE_MS, HistoryResult
from trials.report import Report, Table

_COLUMNS = ("statement", "empty ms", "with history ms", "ratio", "waited: empty", "with history")


def report_of(result: HistoryResult) -> Report:
    """Return the report of every statement, with the verdict on all statements."""
    return Report(
        name="history",
        title="History",
        origin=result.origin,
        commands=[f"python -m trials.history --events {result.events}"],
        parts=[Table(columns=_COLUMNS, rows=rows_of(result))],
        verdict=verdict(result),
        passed=result.met,
        content=asdict(result) | {"goal": GOAL, "whole": result.whole},
    )


def rows_of(result: HistoryResult) -> list[tuple[str, ...]]:
    """Return the rows of tables; a goal that is not met is marked."""
    return [
        (
            row.name,
            f"{row.empty_ms:.2f}",
            f"{row.filled_ms:.2f}",
            f"{row.ratio:.2f}" + ("" if row.met else " NOT met"),
            f"{row.empty_waited_ms:.2f}",
            f"{row.filled_waited_ms:.2f}",
        )
        for row in result.rows
    ]


def verdict(result: HistoryResult) -> str:
    """Return the verdict in one line."""
    missed = [row.name for row in result.rows if not row.met]
    one_by_one = f"not by {', '.join(missed)}" if missed else "by every statement"
    return (
        f"{result.events:,} events: all statements of a block take {result.whole:.2f} times as "
        f"long; goal {GOAL}: {'met' if result.met else 'NOT met'}, one by one {one_by_one} "
        f"(up to {NOISE_MS} ms more is noise)"
    )
