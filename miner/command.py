"""The command `miner`: what this machine can mine with, and how fast."""

import json as jsonlib
import sys
from dataclasses import asdict
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from miner.choice import Choice, Listed, listed
from miner.model import MinerError
from miner.processors import describe

Json = Annotated[bool, Parameter(negative="")]

app = cyclopts.App(
    name="miner",
    help="Search for nonces of KALE: engines for processors and GPUs.",
    version_flags=(),
)


def main() -> int:
    """Run the command; return the exit status: 2 with one line for what cannot be used."""
    try:
        return int(app() or 0)
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


def _used(one: Listed) -> str:
    if one.problem:
        return "no"
    return "yes" if one.is_default else "when asked for"
