"""python -m trials.yields: what a pooler's strategies earn, and how near that is to the best.

Simulates strategies by the contract's exact rules, in the same blocks with the same hash power,
beside strangers; the seed makes every run the same. With --localnet a real pool farms a few blocks
on localnet instead, and the model is compared with what the chain has paid. Writes
trials/results/<date>-<commit>/ and var/yield/. Exit status 0 even when a goal is not met, unless
--strict is given; 1 when the model differs from the chain.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from devstack.interrupt import run_to_end
from devstack.stack import Progress
from trials.report import add_options, console_of, progress_on, show_paths, tell, write
from trials.yields.localnet import LocalnetPlan, run_localnet
from trials.yields.run import YieldPlan, run_yield
from trials.yields.tables import report_of, report_of_localnet

_OWN_FOLDER = Path("var") / "yield"


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    console = console_of(options)
    progress = progress_on(console)
    if options.localnet:
        plan = _localnet_plan(options, arguments)
        return run_to_end(_run_localnet(plan, options, console, progress))
    return run_to_end(_run(_plan(options, arguments), options, console, progress))


async def _run(
    plan: YieldPlan, options: argparse.Namespace, console: Console, progress: Progress
) -> int:
    report = report_of(await run_yield(plan, progress))
    tell(console, report, options)
    show_paths(console, write(report, _OWN_FOLDER))
    return 1 if options.strict and not report.passed else 0


async def _run_localnet(
    plan: LocalnetPlan, options: argparse.Namespace, console: Console, progress: Progress
) -> int:
    report = report_of_localnet(await run_localnet(plan, progress))
    tell(console, report, options)
    show_paths(console, write(report, _OWN_FOLDER))
    return 0 if report.passed else 1


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
    parser.add_argument("--localnet", action="store_true", help="farm on localnet instead")
    parser.add_argument("--localnet-farmers", type=int, default=6)
    parser.add_argument("--localnet-blocks", type=int, default=5)
    parser.add_argument("--block-seconds", type=int, default=30, help="of a block on localnet")
    parser.add_argument("--ledger-seconds", type=float, default=1.0, help="of a ledger there")
    add_options(parser)
    return parser


def _plan(options: argparse.Namespace, arguments: list[str]) -> YieldPlan:
    return YieldPlan(
        blocks_25=options.blocks,
        blocks_1000=options.blocks_1000,
        warm_up=options.warm_up,
        seed=options.seed,
        command=_command(arguments),
    )


def _localnet_plan(options: argparse.Namespace, arguments: list[str]) -> LocalnetPlan:
    return LocalnetPlan(
        farmers=options.localnet_farmers,
        blocks=options.localnet_blocks,
        block_seconds=options.block_seconds,
        ledger_seconds=options.ledger_seconds,
        command=_command(arguments),
    )


def _command(arguments: list[str]) -> str:
    return " ".join(["python -m trials.yields", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
