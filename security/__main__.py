"""python -m security: hostile requests over all RPCs, and calls that are given up.

A pool farms a block first. Then every caller is tried on every method, every pooler on another's
things, and every verb on every table as every database role, too; and at the end all that the pool
has written, and told with errors, is searched for its secrets. Exit status 1 when a request was
answered UNKNOWN or INTERNAL, an RPC hardly answered, a process ended or did not serve, memory grew,
somebody may do what is not declared, or a secret was found.
"""

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from devstack.interrupt import run_to_end
from devstack.stack import Progress
from libs.common.names import SERVICES
from security.access import columns, picture
from security.farming import Farmed
from security.fuzz import ANSWERED, LEAST_ANSWERED, LONG, MOST_SILENT, SILENT, silent_of
from security.memory import mebibytes
from security.roles import ALLOWED
from security.run import FuzzPlan, FuzzResult, run_fuzz


def main(arguments: list[str]) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    console, started = Console(width=None if sys.stdout.isatty() else 120), time.monotonic()

    def progress(text: str) -> None:
        seconds = time.monotonic() - started
        console.print(f"{seconds:7.1f} s  {text}", style="dim", highlight=False, markup=False)

    plan = FuzzPlan(requests=options.requests, abandoned=options.abandoned, seed=options.seed)
    return run_to_end(_run(plan, console, progress))


async def _run(plan: FuzzPlan, console: Console, progress: Progress) -> int:
    result = await run_fuzz(plan, progress)
    show(console, result)
    progress("FAILED" if result.failures else "passed")
    return 1 if result.failures else 0


def show(console: Console, result: FuzzResult) -> None:
    """Tables for people."""
    console.print(f"before: {_in_words(result.farmed)}", highlight=False)
    for table in (_statuses(result), _answers(result), _left(result), _memory(result), _roles()):
        console.print(table)
    console.print("S select, I insert, U update, u update of some columns; tried one by one")
    access = Table("method", *columns(), title="who is let in to what")
    for row in picture(result.access):
        access.add_row(*row)
    console.print(access)
    found = result.search
    console.print(
        f"{found.canaries:,} forms of secrets looked for in {found.files:,} files "
        f"({mebibytes(found.size)} MiB) and in the arguments of all processes: "
        f"{len(found.leaks)} found",
        highlight=False,
    )
    for failure in result.failures:
        console.print(failure, style="red", markup=False)


def _in_words(farmed: Farmed) -> str:
    return (
        f"{farmed.planted} planted, {farmed.worked} worked, {farmed.harvested} harvested, "
        f"{farmed.withdrawn} withdrawn"
    )


def _statuses(result: FuzzResult) -> Table:
    hostile = result.hostile
    table = Table("status", "calls", title=f"{hostile.calls} requests, {result.rpcs} RPCs")
    for name, count in hostile.statuses.most_common():
        table.add_row(name, str(count))
    return table


def _answers(result: FuzzResult) -> Table:
    """How much each RPC says about its requests."""
    title = (
        f"answers: {LEAST_ANSWERED:.0%} OK or INVALID_ARGUMENT at least, {MOST_SILENT:.0%} "
        f"{' or '.join(SILENT)} at most (* any, but answers who is patient)"
    )
    table = Table("RPC", "calls", *ANSWERED, "silent", title=title)
    for rpc, statuses in sorted(result.hostile.by_rpc.items()):
        mark = "*" if rpc in LONG else ""
        share = f"{silent_of(statuses) / statuses.total():.1%}{mark}"
        told = (str(statuses[status]) for status in ANSWERED)
        table.add_row(rpc, str(statuses.total()), *told, share)
    return table


def _left(result: FuzzResult) -> Table:
    table = Table(
        *("calls", "given up", "of these before anything was sent"),
        *("reached a handler", "of these while it ran"),
        title=f"given up, until {result.plan.abandoned} had reached a handler",
    )
    abandoned = result.abandoned
    rows = (
        ("unary", abandoned.unary),
        ("streams", abandoned.streams),
        ("health, which keeps no records", abandoned.unrecorded),
        ("all", abandoned.all),
    )
    for name, tally in rows:
        figures = (tally.left, tally.at_once, tally.arrived, tally.cancelled)
        table.add_row(name, *(f"{figure:,}" for figure in figures))
    return table


def _memory(result: FuzzResult) -> Table:
    table = Table("process", "hostile requests", "given up", title="resident MiB after warm-up")
    for pair in zip(result.hostile_growth, result.abandoned_growth, strict=True):
        grown = (f"{mebibytes(one.before)} to {mebibytes(one.after)}" for one in pair)
        table.add_row(pair[0].process, *grown)
    return table


def _roles() -> Table:
    table = Table("table or view", *SERVICES, title="what each service's role may do")
    for relation, allowed in ALLOWED.items():
        table.add_row(relation, *(allowed.get(service, "") for service in SERVICES))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m security", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="hostile requests")
    parser.add_argument(
        "--abandoned", type=int, default=100_000, help="calls given up in a handler"
    )
    parser.add_argument("--seed", type=int, default=20_261_124, help="of all choices")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
