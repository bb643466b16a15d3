"""python -m trials.bench run: what the pool's submission engine can do and what it costs.

Starts PostgreSQL, localnet with mainnet's limits and the wallet as processes, plants one block
unmeasured, farms one and writes trials/results/<date>-<commit>/. Exit status 0 even when a goal
is not met, unless --strict is given.
"""

import argparse
import sys

from rich.console import Console

from devstack.interrupt import run_to_end
from devstack.stack import Progress
from trials.bench.run import BenchPlan, run_bench
from trials.bench.tables import report_of
from trials.report import add_options, console_of, progress_on, tell
from trials.world import Carrier


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    console = console_of(options)
    return run_to_end(_run(_plan(options, arguments), options, console, progress_on(console)))


async def _run(
    plan: BenchPlan, options: argparse.Namespace, console: Console, progress: Progress
) -> int:
    report = report_of(await run_bench(plan, progress))
    tell(console, report, options)
    return 1 if options.strict and not report.passed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trials.bench",
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
    run.add_argument("--strict", action="store_true", help="exit status 1 when a goal is missed")
    add_options(run)
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
        command=" ".join(["python -m trials.bench", *arguments]),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
