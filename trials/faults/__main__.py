"""python -m trials.faults run: breaks things, with real processes, and compares with the chain.

Breaks everything in turn and writes to trials/results/<date>-<commit>/; exit status 1 when anything
is not as promised. The same seed gives the same instants, as far as a real machine can. Rows of one
commit and seed that are run apart stand together on the page: those of earlier runs are read from
the faults.json that they have left there, which git ignores.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from devstack.interrupt import run_to_end
from devstack.stack import Progress
from trials.faults.earlier import write
from trials.faults.liars import ALONE, THREE, liar_groups
from trials.faults.run import FaultPlan, FaultResult, run_faults
from trials.faults.scenarios import Group, groups
from trials.faults.tables import report_of
from trials.report import (
    RESULTS,
    add_options,
    as_json,
    console_of,
    progress_on,
    show,
    show_paths,
)


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    console = console_of(options)
    plan = FaultPlan(groups=_chosen(options), seed=options.seed, command=_command(options))
    if options.list:
        for group in plan.groups:
            for scenario in group.scenarios:
                console.print(f"{group.name}: {scenario.name}", highlight=False)
        return 0
    return run_to_end(_run(plan, options, console, progress_on(console)))


async def _run(
    plan: FaultPlan, options: argparse.Namespace, console: Console, progress: Progress
) -> int:
    written: list[Path] = []

    def keep(so_far: FaultResult) -> None:
        if not options.no_write:
            written[:] = write(so_far, options.out)

    result = await run_faults(plan, progress, keep)
    report = report_of(result)
    show(console, report)
    if options.json:
        sys.stdout.write(as_json(report))
    show_paths(console, written)
    return 0 if result.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trials.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="break everything in turn")
    run.add_argument("--farmers", type=int, default=6)
    run.add_argument("--random", type=int, default=200, help="random kills, with each carrier")
    run.add_argument("--group", action="append", help="only this group of rows; may be repeated")
    run.add_argument("--only", default="", help="only rows whose name contains this")
    run.add_argument("--quick", action="store_true", help="a few rows in a few minutes")
    run.add_argument("--out", type=Path, default=RESULTS, help="folder of results to write to")
    run.add_argument("--list", action="store_true", help="only tell what would be broken")
    run.add_argument("--seed", type=int, default=1)
    add_options(run)
    return parser


def _command(options: argparse.Namespace) -> str:
    """Return the command that asks for the same run again, with all defaults spelled out."""
    words = [
        "python -m trials.faults run",
        f"--farmers {options.farmers}",
        f"--random {options.random}",
    ]
    words += [f"--seed {options.seed}", *(f"--group {name}" for name in options.group or ())]
    words += [f"--only {shlex.quote(options.only)}"] if options.only else []
    return " ".join([*words, *(["--quick"] if options.quick else [])])


def _chosen(options: argparse.Namespace) -> Sequence[Group]:
    """Return the groups with the rows that were asked for; leave out groups without any."""
    every = groups(farmers=options.farmers, random_kills=options.random)
    every += liar_groups(every[0].config)
    if options.quick:
        every = _joined(every)
    chosen = [
        replace(
            group,
            scenarios=tuple(row for row in group.scenarios if options.only in row.name),
            is_whole=not options.only,
        )
        for group in every
        if not options.group or group.name in options.group
    ]
    return [group for group in chosen if group.scenarios]


def _joined(every: Sequence[Group]) -> list[Group]:
    """Return the rows of the short run, on a pool with short blocks.

    Liars have nodes of their own, and payouts take the whole pool.
    """
    liars = next(group for group in every if group.name == THREE)
    paying = [group for group in every if any(row.pays for row in group.scenarios)]
    others = [group for group in every if group.name not in (ALONE, THREE) and group not in paying]
    return [
        _short("quick", others),
        _short("quick-liars", [liars]),
        _short("quick-payouts", paying),
    ]


def _short(name: str, every: Sequence[Group]) -> Group:
    rows = {row.name: row for group in every for row in group.scenarios if row.quick}
    of_registry = (group.config.registry_environment for group in every)
    config = replace(
        every[0].config,
        farmers=4,
        block_seconds=9,
        registry_environment=next(filter(None, of_registry), None),
    )
    return Group(name=name, config=config, scenarios=tuple(rows.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
