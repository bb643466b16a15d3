"""python -m trials.mutants: which realistic wrong changes the tests do not notice.

Measures which test runs which line and which query, changes one place at a time in a copy of the
tree, and runs the tests that run it. What was tried is kept in var/mutants and is not tried again
until its file or its tests change. Exit status 1 when fewer than 90 % of the mutants are killed, or
more than 8 % are excused (tests/mutants/equivalent.toml).
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from trials.mutants.campaign import BusyError, Campaign, Plan
from trials.mutants.endings import end_descendants
from trials.mutants.excuses import ExcuseError
from trials.mutants.processes import ProcessError
from trials.mutants.report import as_json, show, tally

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 160)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def progress(text: str) -> None:
        console.print(f"{time.monotonic() - started:7.1f} s  {text}", markup=False, highlight=False)

    plan = Plan(
        root=ROOT,
        only=tuple(options.only),
        ids=tuple(options.id),
        tests=tuple(options.tests),
        only_changed=options.changed,
        sample=options.sample,
        workers=options.workers,
        budget=options.budget,
        is_fresh=options.fresh,
        tries_excused=options.excused,
    )
    try:
        campaign = Campaign(plan, progress)
        if options.list:
            sys.stdout.write("".join(f"{line}\n" for line in campaign.listing()))
            return 0
        outcomes = campaign.run()
    except (BusyError, ExcuseError, ProcessError) as error:
        console.print(str(error), markup=False, highlight=False)
        return 2
    except KeyboardInterrupt:
        end_descendants()
        console.print("ended; what was tried is kept")
        return 130
    show(console, outcomes, campaign.stale)
    if options.json:
        sys.stdout.write(json.dumps(as_json(outcomes, campaign.stale), indent=2) + "\n")
    return 0 if tally(outcomes).is_good() else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trials.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", default=[], help="a file, folder or pattern")
    parser.add_argument("--id", action="append", default=[], help="a mutant that was told")
    parser.add_argument(
        "--tests", action="append", default=[], help="only tests of this folder or file"
    )
    parser.add_argument(
        "--sample", type=int, default=0, help="so many of them, chosen by their ids (all)"
    )
    parser.add_argument("--changed", action="store_true", help="only lines that have changed")
    parser.add_argument(
        "--workers", type=int, default=int(os.environ.get("MUTANTS_WORKERS", "2")), help="copies"
    )
    parser.add_argument(
        "--budget", type=float, default=60.0, help="seconds of tests for one mutant (60)"
    )
    parser.add_argument("--fresh", action="store_true", help="try again what was tried")
    parser.add_argument("--excused", action="store_true", help="try what is excused, too")
    parser.add_argument("--list", action="store_true", help="print the mutants, and try none")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
