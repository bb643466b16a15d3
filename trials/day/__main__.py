"""python -m trials.day: farms a day of blocks in compressed time and kills something now and then.

Real processes, compared with the chain at the end. Writes to trials/results/<date>-<commit>/; exit
status 1 when anything is not as promised. The same seed gives the same instants, as far as a real
machine can.
"""

import argparse
import sys

from rich.console import Console

from devstack.interrupt import run_to_end
from devstack.stack import Progress
from trials.day.run import BLOCKS_PER_HOUR, DayPlan, run_day
from trials.day.tables import report_of
from trials.report import add_options, console_of, progress_on, tell
from trials.world import Carrier


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    command = " ".join(["python -m trials.day", *arguments])
    console = console_of(options)
    return run_to_end(_day(options, command, console, progress_on(console)))


async def _day(
    options: argparse.Namespace, command: str, console: Console, progress: Progress
) -> int:
    plan = DayPlan(
        farmers=options.farmers,
        blocks=options.blocks,
        ledger_seconds=options.ledger_seconds,
        carrier=Carrier(options.carrier),
        kill_every=options.kill_every,
        seed=options.seed,
    )
    result = await run_day(plan, progress)
    tell(console, report_of(result, command), options)
    return 0 if result.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trials.day",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--farmers", type=_count, default=1000)
    parser.add_argument(
        "--blocks", type=_count, default=24 * BLOCKS_PER_HOUR, help="12 are an hour"
    )
    parser.add_argument(
        "--ledger-seconds", type=float, default=0.2, help="a block is 60 ledgers, as it really is"
    )
    parser.add_argument(
        "--carrier", choices=[one.value for one in Carrier], default=Carrier.MULTICALL.value
    )
    parser.add_argument(
        "--kill-every", type=int, default=12, help="blocks between two kills; 0 kills nothing"
    )
    parser.add_argument("--seed", type=int, default=1)
    add_options(parser)
    return parser


def _count(text: str) -> int:
    """Parse a number that must be at least 1."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
