"""python -m faults: breaks things, with real processes, and compares the end with the chain.

`run` breaks everything in turn; `day` farms a day of blocks in compressed time and kills something
now and then. Both write to benchmarks/results/<date>-<commit>/; exit status 1 when anything is not
as promised. The same seed gives the same instants, as far as a real machine can.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.report import RESULTS
from benchmarks.world import Carrier
from devstack.interrupt import run_to_end
from devstack.stack import Progress
from faults import day_report, report
from faults.day import BLOCKS_PER_HOUR, DayPlan, run_day
from faults.liars import ALONE, THREE, liar_groups
from faults.run import FaultPlan, FaultResult, run_faults
from faults.scenarios import Group, groups


def main(arguments: list[str]) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 160)
    started = time.monotonic()

    def progress(text: str) -> None:
        seconds = time.monotonic() - started
        console.print(f"{seconds:7.1f} s  {text}", style="dim", highlight=False, markup=False)

    if options.command == "day":
        return run_to_end(_day(options, console, progress))
    plan = FaultPlan(groups=_chosen(options), seed=options.seed, command=_command(options))
    if options.list:
        for group in plan.groups:
            for scenario in group.scenarios:
                console.print(f"{group.name}: {scenario.name}", highlight=False)
        return 0
    return run_to_end(_run(plan, options, console, progress))


async def _run(
    plan: FaultPlan, options: argparse.Namespace, console: Console, progress: Progress
) -> int:
    written: list[Path] = []

    def keep(so_far: FaultResult) -> None:
        if not options.no_write:
            written[:] = report.write(so_far, options.out)

    result = await run_faults(plan, progress, keep)
    report.show(console, result)
    if options.json:
        sys.stdout.write(report.as_json(result))
    _tell(console, written)
    return 0 if result.passed else 1


async def _day(options: argparse.Namespace, console: Console, progress: Progress) -> int:
    plan = DayPlan(
        farmers=options.farmers,
        blocks=options.blocks,
        ledger_seconds=options.ledger_seconds,
        carrier=Carrier(options.carrier),
        kill_every=options.kill_every,
        seed=options.seed,
    )
    result = await run_day(plan, progress)
    day_report.show(console, result)
    if options.json:
        sys.stdout.write(day_report.as_json(result))
    if not options.no_write:
        _tell(console, day_report.write(result))
    return 0 if result.passed else 1


def _tell(console: Console, paths: Iterable[Path]) -> None:
    for path in paths:
        console.print(str(path), highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m faults",
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
    day = commands.add_parser("day", help="farm a day of blocks in compressed time")
    day.add_argument("--farmers", type=_count, default=1000)
    day.add_argument("--blocks", type=_count, default=24 * BLOCKS_PER_HOUR, help="12 are an hour")
    day.add_argument(
        "--ledger-seconds", type=float, default=0.2, help="a block is 60 ledgers, as it really is"
    )
    day.add_argument(
        "--carrier", choices=[one.value for one in Carrier], default=Carrier.MULTICALL.value
    )
    day.add_argument(
        "--kill-every", type=int, default=12, help="blocks between two kills; 0 kills nothing"
    )
    for command in (run, day):
        command.add_argument("--seed", type=int, default=1)
        command.add_argument("--json", action="store_true", help="print JSON on stdout")
        command.add_argument(
            "--no-write", action="store_true", help="leave benchmarks/results alone"
        )
    return parser


def _count(text: str) -> int:
    """A number of things that there must be one of."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _command(options: argparse.Namespace) -> str:
    """What asks for the same again, with what was left to the defaults."""
    words = ["python -m faults run", f"--farmers {options.farmers}", f"--random {options.random}"]
    words += [f"--seed {options.seed}", *(f"--group {name}" for name in options.group or ())]
    words += [f"--only {shlex.quote(options.only)}"] if options.only else []
    return " ".join([*words, *(["--quick"] if options.quick else [])])


def _chosen(options: argparse.Namespace) -> Sequence[Group]:
    """Groups with the rows that were asked for; groups without any are left out."""
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
    """The rows of the short run, on a pool with short blocks; liars have nodes of their own."""
    liars = next(group for group in every if group.name == THREE)
    return [
        _short("quick", [group for group in every if group.name not in (ALONE, THREE)]),
        _short("quick-liars", [liars]),
    ]


def _short(name: str, every: Sequence[Group]) -> Group:
    rows = {row.name: row for group in every for row in group.scenarios if row.quick}
    config = replace(every[0].config, farmers=4, block_seconds=9)
    return Group(name=name, config=config, scenarios=tuple(rows.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
