"""python -m trials.security: hostile requests over all RPCs, and calls that are given up.

Whoever has a password or a certificate tries to take what is not theirs, from a pool for that
alone: forged transactions, payments put back, pauses lifted, approvals, addresses, top-ups,
reserves, records. Another pool farms a block. Its audit log is attacked; orders are written that
wallet did not give, with the rights of every database role; each of these roles takes all that it
can, while signing is paused and a farmer registered. Then every caller is tried on every method,
every pooler on another's things, and every verb on every table as every database role, too;
connections come that say nothing, or half of something, beside honest callers; the gateway gets
every kind of token on every way, requests that may be read in two ways, hostile bodies and slow
clients; and at the end all that the pool has written, and told with errors, is searched for its
secrets. Exit status 1 when a request was answered UNKNOWN, INTERNAL or 500, an RPC hardly answered,
a process ended or did not serve, memory grew, somebody may do what is not declared, a pause waited
for a role, tampering with the audit log was not found, an order that wallet did not give was
carried out, something was taken, or a secret was found.
"""

import argparse
import sys

from rich.console import Console

from devstack.interrupt import run_to_end
from devstack.stack import Progress
from trials.report import progress_on, show
from trials.security.run import FuzzPlan, run_fuzz
from trials.security.tables import output_of

#: Columns of a terminal that is none: the tables are wide.
_WIDTH = 120


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    plan = FuzzPlan(
        requests=options.requests,
        abandoned=options.abandoned,
        seed=options.seed,
        connections=options.connections,
        by_http=options.by_http,
        idle=options.idle,
        quick=options.quick,
    )
    return run_to_end(_run(plan, console, progress_on(console)))


async def _run(plan: FuzzPlan, console: Console, progress: Progress) -> int:
    output = output_of(await run_fuzz(plan, progress))
    show(console, output)
    return 0 if output.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trials.security", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="hostile requests")
    parser.add_argument(
        "--abandoned", type=int, default=100_000, help="calls given up in a handler"
    )
    parser.add_argument(
        "--connections", type=int, default=1_500, help="connections that wear a service out"
    )
    parser.add_argument("--by-http", type=int, default=100_000, help="hostile requests by HTTP")
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections by HTTP")
    parser.add_argument(
        "--quick", action="store_true", help="leave out thefts that wait for what wallet does"
    )
    parser.add_argument("--seed", type=int, default=20_261_124, help="of all choices")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
