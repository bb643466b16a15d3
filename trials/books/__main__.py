"""python -m trials.books: random journals, told twice and again by processes that are killed.

Plants, harvests, withdrawals, costs, what turned out never to have been, and miners' credits are
booked by harvest's own code in two processes at once, one of which is killed every few seconds
(kill -9). In the end every journal is there once, what accounts have is what the story gives, and
the look at the whole ledger finds nothing. Written to trials/results. Exit status 1 when anything
is wrong. The same seed tells the same story.
"""

import argparse
import asyncio
import sys
from dataclasses import asdict

from trials.books.run import BooksResult, tell
from trials.report import Report, Table, add_options, console_of, progress_on
from trials.report import tell as report


def report_of(result: BooksResult, command: str) -> Report:
    """Return the report."""
    passed = not result.problems
    word = "nothing twice, nothing lost" if passed else f"{len(result.problems)} PROBLEMS"
    return Report(
        name="books",
        title="The ledger's books, killed and told again",
        origin=result.origin,
        commands=[command],
        parts=[
            Table(
                columns=("what", "how many"),
                rows=[
                    ("things that happened", f"{result.happened:,}"),
                    ("journals", f"{result.journals:,}"),
                    ("entries", f"{result.entries:,}"),
                    ("writers killed", f"{result.kills:,}"),
                    ("seconds until all was booked", f"{result.seconds:.0f}"),
                    ("seconds of the look at all of it", f"{result.check_seconds:.1f}"),
                ],
            )
        ],
        problems=result.problems[:50],
        verdict=f"{result.journals:,} journals, {result.kills} kills: {word}",
        passed=passed,
        content=asdict(result),
    )


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m trials.books",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--journals", type=int, default=1_000_000, help="about (1000000)")
    parser.add_argument("--seed", type=int, default=1)
    add_options(parser)
    options = parser.parse_args(arguments)
    console = console_of(options)
    result = asyncio.run(tell(options.journals, options.seed, progress_on(console)))
    asked = f"--journals {options.journals} --seed {options.seed}"
    made = report_of(result, f"python -m trials.books {asked}")
    report(console, made, options)
    return 0 if made.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
