"""The output of every trial: tables on a terminal and in Markdown, JSON for programs, and files.

A trial supplies its columns, rows and figures; this module alone decides how they look and where
they are written. The page and the picture are in git; git ignores the JSON beside them.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as TerminalTable

from devstack.stack import Progress
from trials.machine import Origin

RESULTS = Path("trials") / "results"
#: Columns for an output that is no terminal: a file, or a pipe.
_WIDTH = 160
#: Style of a row on a terminal whose last cell is one of these.
_ROW_STYLES = {"met": "green", "NOT met": "red", "FAILED": "red"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and rows."""

    #: Heading of each column.
    columns: Sequence[str]
    #: Rows with one cell for each column.
    rows: Sequence[Sequence[str]]
    #: Title above the table; empty where the report's own title is enough.
    title: str = ""
    #: Markdown between the title and the table; on the page only.
    before: str = ""
    #: Markdown below the table; on the page only.
    after: str = ""


@dataclass(frozen=True, kw_only=True)
class Output:
    """The output of a trial on a terminal."""

    #: Tables, and lines between them, in their order.
    parts: Sequence[Table | str]
    #: Problems, one line each.
    problems: Sequence[str] = ()
    #: The result in one line; empty where the tables are all.
    verdict: str = ""
    #: Whether everything is as it should be.
    passed: bool = True


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A drawing beside the page."""

    #: Description of the picture.
    alt: str
    #: The drawing.
    svg: str


@dataclass(frozen=True, kw_only=True)
class Report(Output):
    """The output of a trial in files, too."""

    #: Name of the files.
    name: str
    #: Title of the page.
    title: str
    #: Machine, versions, commit.
    origin: Origin
    #: Command that gives the same result again.
    commands: Sequence[str]
    #: The complete result, for programs.
    content: Mapping[str, Any]
    #: Text below the page's tables.
    picture: Picture | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of each command that writes a report."""
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    parser.add_argument("--no-write", action="store_true", help=f"leave {RESULTS} alone")


def console_of(options: argparse.Namespace) -> Console:
    """Return the console for tables: not stdout where JSON is printed there."""
    return Console(stderr=options.json, width=None if sys.stdout.isatty() else _WIDTH)


def progress_on(console: Console) -> Progress:
    """Return a function that shows the current step and the seconds so far."""
    started = time.monotonic()

    def progress(text: str) -> None:
        seconds = time.monotonic() - started
        console.print(f"{seconds:7.1f} s  {text}", style="dim", highlight=False, markup=False)

    return progress


def tell(console: Console, report: Report, options: argparse.Namespace) -> None:
    """Show a report, print its JSON and write its files, as the options say."""
    show(console, report)
    if options.json:
        sys.stdout.write(as_json(report))
    if not options.no_write:
        show_paths(console, write(report))


def show(console: Console, output: Output) -> None:
    """Show tables, lines and problems on a terminal."""
    for part in output.parts:
        if isinstance(part, str):
            console.print(part, highlight=False)
        else:
            console.print(_on_terminal(part))
    for line in output.problems:
        console.print(line, style="red", markup=False, highlight=False)
    if output.verdict:
        console.print(output.verdict, style="bold green" if output.passed else "bold red")


def show_paths(console: Console, paths: Iterable[Path]) -> None:
    """Show where the files are."""
    for path in paths:
        console.print(str(path), highlight=False)


def write(report: Report, directory: Path = RESULTS) -> list[Path]:
    """Write JSON, page and picture into the folder of a date and a commit; return the files."""
    files = {"json": as_json(report), "md": as_markdown(report)}
    if report.picture is not None:
        files["svg"] = report.picture.svg
    folder = directory / report.origin.label
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{report.name}.{kind}" for kind in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_text(content, encoding="utf-8")
    return paths


def as_json(report: Report) -> str:
    """Return the report as JSON for programs; enums become their values."""
    return json.dumps(report.content, indent=2, default=_plain) + "\n"


def as_markdown(report: Report) -> str:
    """Return one page: origin, result, tables, problems, picture."""
    origin = report.origin
    blocks = [f"# {report.title}, {origin.date}, commit {origin.commit}", _machine(origin)]
    blocks.append(_code(report.commands))
    if report.verdict:
        blocks.append(f"{report.verdict}.")
    for part in report.parts:
        blocks += [part] if isinstance(part, str) else _on_page(part)
    if report.problems:
        blocks.append(_code(report.problems))
    if report.picture is not None:
        blocks.append(f"![{report.picture.alt}]({report.name}.svg)")
    return "\n\n".join(blocks) + "\n"


def _on_terminal(table: Table) -> TerminalTable:
    drawn = TerminalTable(*table.columns, title=table.title or None)
    for row in table.rows:
        drawn.add_row(*row, style=_ROW_STYLES.get(row[-1], ""))
    return drawn


def _on_page(table: Table) -> list[str]:
    """Return the blocks of a table on the page."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    drawn = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    title = f"## {table.title}" if table.title else ""
    return [block for block in (title, table.before, drawn, table.after) if block]


def _code(lines: Iterable[str]) -> str:
    return "\n".join(["```", *lines, "```"])


def _machine(origin: Origin) -> str:
    """Return the machine in one line."""
    return (
        f"{origin.cpu}, {origin.cores} cores, {origin.memory_gib} GiB, {origin.system}, "
        f"Python {origin.python}, PostgreSQL {origin.postgres}"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")
