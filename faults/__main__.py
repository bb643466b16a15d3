"""python -m faults run: breaks everything in turn, with real processes, and checks the chain.

Writes benchmarks/results/<date>-<commit>/faults.{json,md}; exit status 1 when anything is not as
promised. The same seed gives the same instants, as far as a real machine can.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from demo.interrupt import run_to_end
from demo.stack import Progress
from faults.report import as_json, show, write
from faults.run import FaultPlan, run_faults
from faults.scenarios import Group, groups


def main(arguments: list[str]) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 160)
    started = time.monotonic()

    def progress(text: str) -> None:
        seconds = time.monotonic() - started
        console.print(f"{seconds:7.1f} s  {text}", style="dim", highlight=False, markup=False)

    plan = FaultPlan(groups=_chosen(options), seed=options.seed)
    if options.list:
        for group in plan.groups:
            for scenario in group.scenarios:
                console.print(f"{group.name}: {scenario.name}", highlight=False)
        return 0
    return run_to_end(_run(plan, options, console, progress))


async def _run(
    plan: FaultPlan, options: argparse.Namespace, console: Console, progress: Progress
) -> int:
    result = await run_faults(plan, progress)
    show(console, result)
    if options.json:
        sys.stdout.write(as_json(result))
    if not options.no_write:
        for path in write(result):
            console.print(str(path), highlight=False)
    return 0 if result.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run = parser.add_subparsers(dest="command", required=True).add_parser(
        "run", help="break things"
    )
    run.add_argument("--farmers", type=int, default=6)
    run.add_argument("--random", type=int, default=200, help="random kills, with each carrier")
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--group", help="only this group of rows")
    run.add_argument("--only", default="", help="only rows whose name contains this")
    run.add_argument("--quick", action="store_true", help="a few rows in less than a minute")
    run.add_argument("--list", action="store_true", help="only tell what would be broken")
    run.add_argument("--json", action="store_true", help="print JSON on stdout")
    run.add_argument("--no-write", action="store_true", help="leave benchmarks/results alone")
    return parser


def _chosen(options: argparse.Namespace) -> Sequence[Group]:
    """Groups with the rows that were asked for; groups without any are left out."""
    every = groups(farmers=options.farmers, random_kills=options.random)
    if options.quick:
        every = [_joined(every)]
    chosen = [
        replace(
            group,
            scenarios=tuple(row for row in group.scenarios if options.only in row.name),
        )
        for group in every
        if options.group in (None, group.name)
    ]
    return [group for group in chosen if group.scenarios]


def _joined(every: Sequence[Group]) -> Group:
    """The rows of the short run, all on one pool with short blocks."""
    rows = {row.name: row for group in every for row in group.scenarios if row.quick}
    config = replace(every[0].config, farmers=4, block_seconds=9)
    return Group(name="quick", config=config, scenarios=tuple(rows.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
