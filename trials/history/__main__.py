"""python -m trials.history: what months of history do to the current block's reads and writes.

Fills one of two equal databases with history (events, operations, transactions, batches, as the
services leave them), then farms the same blocks on both in turns, through the services' own queries
and roles: plants, works and the harvest of the block before. Both have the same farmers, the same
blocks just farmed, and statistics as fresh as autovacuum keeps them. A page of a report reads as
many blocks, hours or days with any history: reports are compared with a third database, which has
the last 300 blocks. Compared are medians of the time that PostgreSQL's processes were on a
processor, which other programs on the machine do not change; how long a caller waited stands
beside it. Written to trials/results. Exit status 1 when
the statements of a block together miss the goal.
"""

import argparse
import asyncio
import sys

from libs.common.log import configure_logging
from trials.history.run import run
from trials.history.tables import report_of
from trials.report import add_options, console_of, tell


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.history", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000, help="of history (10000000)")
    parser.add_argument("--farmers", type=int, default=1000, help="who farm each block (1000)")
    parser.add_argument(
        "--turns", type=int, default=9, help="blocks that are farmed on each database (9)"
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    # Nobody reads a line per operation here.
    configure_logging(service="history", level="warning", secrets=())
    console = console_of(options)
    result = asyncio.run(run(options.events, options.farmers, options.turns, console))
    tell(console, report_of(result), options)
    return 0 if result.met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
