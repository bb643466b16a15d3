"""The command `miner`: what this machine can mine with, how fast, and mining for a pooler."""

import asyncio
import json as jsonlib
import signal
import sys
from dataclasses import asdict, dataclass
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
from miner.pool.events import Observer, write_json, write_text
from miner.pool.join import Joining
from miner.pool.join import join as mine_for
from miner.processors import describe

Flag = Annotated[bool, Parameter(negative="")]
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
    except (MinerError, ValueError) as error:
        sys.stderr.write(f"miner: {error}\n")
        return 2


@app.command
def engines(*, json: Flag = False) -> None:
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
    json: Flag = False,
    engines: tuple[str, ...] = (),
    threads: Count = 0,
    seconds: Seconds = 1.0,
    rounds: Rounds = 3,
    thorough: Flag = False,
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


@dataclass(frozen=True, kw_only=True)
class JoinOptions:
    """Options of `miner join`.

    Parameters
    ----------
    address
        Stellar address that is to be paid (G..., or M... for one of several).
    name
        What to call this miner.
    worker
        What to call this machine, if there are several.
    agree
        Agree to the pooler's terms as they are now.
    difficulty
        Hashes that a share takes on average; the pooler chooses by default.
    engines
        Engines that search; the best that there are by default.
    threads
        Threads that search on processors; 0 means one per processor.
    programs
        Command line of another miner to search with; may be given again.
    credential_file
        File for the credential.
    ca_file
        Certificates of the authorities that vouch for the pooler (PEM).
    plaintext
        Speak HTTP without TLS to another machine.
    json
        Write one JSON object per event.
    """

    address: str
    name: str = ""
    worker: str = "default"
    agree: Flag = False
    difficulty: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None
    engines: tuple[str, ...] = ()
    threads: Count = 0
    programs: Annotated[tuple[str, ...], Parameter(name="--program")] = ()
    credential_file: Path | None = None
    ca_file: Path | None = None
    plaintext: Flag = False
    json: Flag = False

    def joining(self, url: str) -> Joining:
        """Return whom to mine for, and as whom. Raise ValueError for a wrong address."""
        return Joining(
            url=url,
            address=self.address,
            name=self.name,
            worker=self.worker,
            agrees=self.agree,
            difficulty=self.difficulty,
            choice=Choice(engines=self.engines, threads=self.threads, programs=self.programs),
            credential_file=self.credential_file,
            ca_file=self.ca_file,
            plaintext=self.plaintext,
        )


@app.command
def join(url: str, *, options: Annotated[JoinOptions, Parameter(name="*")]) -> int:
    """Mine for a pooler, and be paid for proven hashes; Ctrl-C ends it.

    The first time the pooler gives a credential, which is kept in a file of yours.

    Parameters
    ----------
    url
        The pooler's address, such as https://pool.example:3333.
    """
    observe = write_json if options.json else write_text
    try:
        asyncio.run(_until_told(options.joining(url), observe))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


async def _until_told(joining: Joining, observe: Observer) -> None:
    """Mine; SIGTERM ends it as Ctrl-C does."""
    running = asyncio.current_task()
    if running is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await mine_for(joining, observe)


def _used(one: Listed) -> str:
    if one.problem:
        return "no"
    return "yes" if one.is_default else "when asked for"
