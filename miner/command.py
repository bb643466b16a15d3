"""The command `miner`: what this machine can mine with, and how fast."""

import json as jsonlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter, validators
from rich.console import Console
from rich.table import Table

from miner.bench.model import as_json
from miner.bench.run import Plan, measure
from miner.bench.table import show
from miner.choice import Choice, Listed, listed
from miner.model import MinerError
from miner.processors import describe

Json = Annotated[bool, Parameter(negative="")]
Count = Annotated[int, Parameter(validator=validators.Number(gte=0))]
Rounds = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Seconds = Annotated[float, Parameter(validator=validators.Number(gt=0))]

app = cyclopts.App(
    name="miner",
    help="Search for nonces of KALE: engines for processors and GPUs.",
    version_flags=(),
)


def main() -> int:
    """Run the command; return the exit status: 2 with one line for what cannot be used."""
    try:
        return int(app(sys.argv[1:]) or 0)
    except MinerError as error:
        sys.stderr.write(f"miner: {error}\n")
        return 2


@app.command
def engines(*, json: Json = False) -> None:
    """List the engines, which of them this machine has, and why not the others.

    Parameters
    ----------
    json
        Write one JSON object.
    """
    found = listed(Choice())
    if json:
        entries = [asdict(one) for one in found]
        sys.stdout.write(jsonlib.dumps({"processors": describe(), "engines": entries}) + "\n")
        return
    console = Console()
    table = Table("engine", "used", "what it is, or why it is not there")
    for one in found:
        table.add_row(one.name, _used(one), "; ".join(one.devices) or one.problem)
    console.print(table)
    console.print(describe(), highlight=False)


@app.command
def bench(
    *,
    json: Json = False,
    engines: tuple[str, ...] = (),
    threads: Count = 0,
    seconds: Seconds = 1.0,
    rounds: Rounds = 3,
    thorough: Annotated[bool, Parameter(negative="")] = False,
    kale_miner: tuple[Path, ...] = (),
) -> int:
    """Measure how fast the engines are; give it a machine that does nothing else.

    The exit status is 1 when a find was wrong.

    Parameters
    ----------
    json
        Write one JSON object.
    engines
        Engines to measure; all that this machine has by default.
    threads
        Threads; 0 means one per processor.
    seconds
        Seconds of each sample.
    rounds
        Samples of each figure, of which the median counts.
    thorough
        Check 100,000 finds of each engine instead of 10,000.
    kale_miner
        A build of kale-miner to measure in between, one thread of it; may be given again.
    """
    plan = Plan(
        engines=engines,
        threads=threads,
        seconds=seconds,
        rounds=rounds,
        finds=100_000 if thorough else 10_000,
        rivals=kale_miner,
    )
    figures = measure(plan, lambda what: sys.stderr.write(f"miner: {what}\n"))
    if json:
        sys.stdout.write(jsonlib.dumps(as_json(figures)) + "\n")
    else:
        show(figures, Console())
    return int(any(one.wrong for one in figures.engines))


def _used(one: Listed) -> str:
    if one.problem:
        return "no"
    return "yes" if one.is_default else "when asked for"
