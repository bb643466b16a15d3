"""python -m benchmarks run: what the pool's submission engine can do and what it costs.

Starts PostgreSQL, localnet with mainnet's limits and the wallet as processes, plants one block
unmeasured, farms one and writes benchmarks/results/<date>-<commit>/. Exit status 0 even when a goal
is not met, unless --strict is given.
"""

import argparse
import sys
import time

from rich.console import Console

from benchmarks.report import all_goals, as_json, show, write
from benchmarks.run import BenchPlan, run_bench
from benchmarks.world import Carrier
from devstack.interrupt import run_to_end
from devstack.stack import Progress


def main(arguments: list[str]) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 160)
    started = time.monotonic()

    def progress(text: str) -> None:
        console.print(f"{time.monotonic() - started:6.1f} s  {text}", style="dim", highlight=False)

    return run_to_end(_run(_plan(options, arguments), options, console, progress))


async def _run(
    plan: BenchPlan, options: argparse.Namespace, console: Console, progress: Progress
) -> int:
    result = await run_bench(plan, progress)
    show(console, result)
    if options.json:
        sys.stdout.write(as_json(result))
    if not options.no_write:
        for path in write(result):
            console.print(str(path), highlight=False)
    missed = sum(not goal.met for goal in all_goals(result))
    return 1 if options.strict and missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run = parser.add_subparsers(dest="command", required=True).add_parser("run", help="measure")
    run.add_argument("--farmers", type=int, default=1000)
    run.add_argument("--ledger-seconds", type=float, default=5.0)
    run.add_argument("--block-seconds", type=int, default=120)
    run.add_argument("--carrier", choices=("single", "multicall", "both", "none"), default="both")
    run.add_argument(
        "--compare",
        action="store_true",
        help="also two wallet processes beside one, on a network whose limits do not matter",
    )
    run.add_argument("--json", action="store_true", help="print JSON on stdout")
    run.add_argument("--no-write", action="store_true", help="leave benchmarks/results alone")
    run.add_argument("--strict", action="store_true", help="exit status 1 when a goal is missed")
    return parser


def _plan(options: argparse.Namespace, arguments: list[str]) -> BenchPlan:
    carriers = {
        "both": tuple(Carrier),
        "none": (),
        **{carrier.value: (carrier,) for carrier in Carrier},
    }[options.carrier]
    return BenchPlan(
        farmers=options.farmers,
        ledger_seconds=options.ledger_seconds,
        block_seconds=options.block_seconds,
        carriers=carriers,
        compare=options.compare,
        command=" ".join(["python -m benchmarks", *arguments]),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
