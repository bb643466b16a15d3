"""python -m demo run|up|down: the whole pool on this machine.

run [--farmers N] [--blocks N]  farms and compares; exit status 0 when all was farmed and equal
up                              starts the pool, prints its addresses and leaves it running
down                            stops it
"""

import argparse
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from client import quiet  # noqa: F401  (before gRPC is imported)
from demo import standing
from demo.run import DIRECTORY, run_demo
from demo.standing import down, supervise, up
from devstack.folder import NoRoomError, full_disk
from devstack.interrupt import INTERRUPTED, run_to_end
from devstack.postgres import PostgresStartError
from devstack.processes import ProcessDiedError
from devstack.stack import FIXED_PORTS, PortTakenError, ports_from
from libs.common.stdout import with_output

#: What says itself what is wrong.
_IN_WORDS = (PortTakenError, ProcessDiedError, PostgresStartError, NoRoomError)
#: Exit status: something did not start, or ended by itself.
FAILED = 1


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    console = Console()
    match options.command:
        case "run":
            work = run_demo(options.farmers, options.blocks, console)
            return run_to_end(_told(work, DIRECTORY))
        case "up":
            return up(console, options.ports)
        case "down":
            return down(console)
        case _:
            return run_to_end(_told(supervise(options.ports), standing.DIRECTORY))


async def _told(work: Coroutine[Any, Any, int], folder: Path) -> int:
    """Do the work in a folder; what does not start, and a full disk, are told in words."""
    try:
        return await work
    except Exception as error:
        words = "" if isinstance(error, NoRoomError) else full_disk(error, folder)
        if not words and not isinstance(error, _IN_WORDS):
            raise
        sys.stderr.write(f"{words or error}\n")
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="farm some blocks and compare records and chain")
    run.add_argument("--farmers", type=_count(1, 1000), default=25)
    run.add_argument("--blocks", type=_count(1, 1000), default=2)
    commands.add_parser("down", help="stop what up has started")
    for name, text in (
        ("up", "start the pool and leave it running"),
        ("supervise", "what up runs in the background"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "--ports-from",
            dest="ports",
            type=_ports,
            default=FIXED_PORTS,
            metavar="PORT",
            help="use the ports from this one on, instead of each service's own",
        )
    return parser


def _ports(text: str) -> Mapping[str, int]:
    return ports_from(_count(1024, 65_536 - len(FIXED_PORTS))(text))


def _count(low: int, high: int) -> Any:
    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must be from {low} to {high}, not {number}")
        return number

    return parse


if __name__ == "__main__":
    try:
        sys.exit(with_output("demo", lambda: main(sys.argv[1:])))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
