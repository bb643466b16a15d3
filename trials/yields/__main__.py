"""python -m trials.yields: what a pooler's strategies earn, and how near that is to the best.

Simulates strategies by the contract's exact rules, in the same blocks with the same hash power,
beside strangers; the seed makes every run the same. Writes trials/results/<date>-<commit>/ and
var/yield/. Exit status 0 even when a goal is not met, unless --strict is given.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from devstack.interrupt import run_to_end
from devstack.stack import Progress
from trials.report import add_options, console_of, progress_on, show_paths, tell, write
from trials.yields.run import YieldPlan, run_yield
from trials.yields.tables import report_of

_OWN_FOLDER = Path("var") / "yield"


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    console = console_of(options)
    return run_to_end(_run(_plan(options, arguments), options, console, progress_on(console)))


async def _run(
    plan: YieldPlan, options: argparse.Namespace, console: Console, progress: Progress
) -> int:
    report = report_of(await run_yield(plan, progress))
    tell(console, report, options)
    show_paths(console, write(report, _OWN_FOLDER))
    return 1 if options.strict and not report.passed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trials.yields",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--blocks", type=int, default=2_900, help="of worlds with 25 farmers")
    parser.add_argument("--blocks-1000", type=int, default=1_200, help="with 1,000 farmers")
    parser.add_argument(
        "--warm-up", type=int, default=600, help="blocks whose yield is not counted"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a goal is missed")
    add_options(parser)
    return parser


def _plan(options: argparse.Namespace, arguments: list[str]) -> YieldPlan:
    return YieldPlan(
        blocks_25=options.blocks,
        blocks_1000=options.blocks_1000,
        warm_up=options.warm_up,
        seed=options.seed,
        command=" ".join(["python -m trials.yields", *arguments]),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
