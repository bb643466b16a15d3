"""python -m security: hostile requests over all RPCs, and calls that are given up.

Tries every caller on every method, every pooler on another's things, and every verb on every table
as every database role, too. Exit status 1 when a request was answered UNKNOWN or INTERNAL, a
process ended, memory grew, or somebody may do what is not declared.
"""

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from demo.interrupt import run_to_end
from demo.stack import Progress
from libs.common.names import SERVICES
from security.access import columns, picture
from security.memory import MEBIBYTE
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
    progress("passed" if result.passed else "FAILED")
    return 0 if result.passed else 1


def show(console: Console, result: FuzzResult) -> None:
    """Tables for people."""
    statuses = Table(
        "status", "calls", title=f"{result.hostile.calls} requests, {result.rpcs} RPCs"
    )
    for name, count in result.hostile.statuses.most_common():
        statuses.add_row(name, str(count))
    console.print(statuses)
    memory = Table("process", "hostile requests", "given up", title="resident MiB after warm-up")
    pairs = zip(result.hostile_growth, result.abandoned_growth, strict=True)
    for one, other in pairs:
        memory.add_row(one.process, *(f"{_mib(g.before)} to {_mib(g.after)}" for g in (one, other)))
    console.print(memory)
    roles = Table("table or view", *SERVICES, title="what each service's role may do")
    for relation, allowed in ALLOWED.items():
        roles.add_row(relation, *(allowed.get(service, "") for service in SERVICES))
    console.print(roles)
    console.print("S select, I insert, U update, u update of some columns; tried one by one")
    access = Table("method", *columns(), title="who is let in to what")
    for row in picture(result.access):
        access.add_row(*row)
    console.print(access)
    for breach in (*result.breaches, *result.intrusions):
        console.print(breach, markup=False)
    for complaint in result.hostile.complaints:
        console.print(complaint, markup=False)


def _mib(size: int) -> str:
    return f"{size / MEBIBYTE:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m security", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="hostile requests")
    parser.add_argument("--abandoned", type=int, default=100_000, help="calls that are given up")
    parser.add_argument("--seed", type=int, default=20_261_124, help="of all choices")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
