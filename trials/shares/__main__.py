"""python -m trials.shares bench | kill | attack: the work for miners under load.

Written to trials/results. Exit status 1 when a goal is missed, or anything is wrong.
"""

import argparse
import asyncio
import sys

from libs.common.descriptors import raise_limit
from trials.machine import origin
from trials.report import Report, add_options, console_of, progress_on, tell
from trials.shares.bench import measure
from trials.shares.hostile import attacked
from trials.shares.kills import Plan, kill_again_and_again
from trials.shares.tables import report_of_attack, report_of_cost, report_of_kills


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.shares", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    bench = commands.add_parser("bench", help="measure shares a second, and streams")
    bench.add_argument("--streams", type=int, default=1000)
    bench.add_argument("--scale", type=float, default=1.0, help="part of the shares")
    kill = commands.add_parser("kill", help="kill the server while miners bring shares")
    kill.add_argument("--times", type=int, default=100)
    kill.add_argument("--seed", type=int, default=1)
    attack = commands.add_parser("attack", help="send hostile requests beside honest miners")
    attack.add_argument("--requests", type=int, default=100_000)
    attack.add_argument("--seed", type=int, default=1)
    for command in (bench, kill, attack):
        add_options(command)
    options = parser.parse_args(arguments)
    report = asyncio.run(_run(options))
    tell(console_of(options), report, options)
    return 0 if report.passed else 1


async def _run(options: argparse.Namespace) -> Report:
    progress = progress_on(console_of(options))
    raise_limit()
    if options.command == "bench":
        cost = await measure(streams=options.streams, scale=options.scale, progress=progress)
        return report_of_cost(cost)
    if options.command == "kill":
        plan = Plan(times=options.times, seed=options.seed)
        return report_of_kills(await kill_again_and_again(plan, progress=progress), await origin())
    result = await attacked(options.requests, seed=options.seed, progress=progress)
    return report_of_attack(result, await origin())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
