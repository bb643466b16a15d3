"""python -m trials.security.cost: what everything costs, beside a bare grpc.aio server.

In the same run: mutual TLS, access, limits, rules, records and typed errors of a real service on
the one side, nothing of that on the other; both answer the same call with the same reply, each in a
process of its own, called by a third one, in turns. Written to trials/results. Exit status 1 when
less than GOAL of the bare server's throughput is left.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psutil

from devstack.processes import Command, Process
from devstack.stack import OPERATOR, StackConfig, open_stack
from libs.common.grpc.identity import CallerKind
from trials.machine import Origin, origin
from trials.report import Report, Table, add_options, console_of, tell
from trials.turns import Turn, turn_of

#: Share of the bare server's throughput that must be left, at least.
GOAL = 0.5
#: Seconds of one turn.
TURN = 4.0
_COLUMNS = ("server", "calls a second", "p50 ms", "p99 ms", "server's CPU µs a call")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The turns of both servers."""

    origin: Origin
    bare: Sequence[Turn]
    full: Sequence[Turn]

    @property
    def ratio(self) -> float:
        """Return the share of the bare server's throughput that is left: the turns' median."""
        return median(f.rate / b.rate for b, f in zip(self.bare, self.full, strict=True))

    @property
    def is_met(self) -> bool:
        """Tell whether the share reaches the goal."""
        return self.ratio >= GOAL


async def measure(turns: int) -> Cost:
    """Measure both servers in turns, after one turn of each that does not count."""
    with tempfile.TemporaryDirectory() as scratch:
        config = StackConfig(
            directory=Path(scratch) / "stack",
            services=("wallet",),
            # The full server counts every call, and refuses none.
            environment={"wallet": {"API_RATE_LIMIT": "1000000000"}},
        )
        async with open_stack(config) as stack:
            shown = stack.certificates(CallerKind.OPERATOR, OPERATOR).environment
            port = stack.ports["registry"]  # free, as registry does not run here
            command = Command(
                name="bare", arguments=("-m", "trials.security.bare", str(port)), environment={}
            )
            bare = Process(command, config.directory / "logs")
            await bare.start()
            try:
                found: dict[str, list[Turn]] = {"bare": [], "full": []}
                for _ in range(turns + 1):
                    found["bare"].append(await _turn(f"127.0.0.1:{port}", bare.pid, {}))
                    pid = stack.pids()["wallet"]
                    found["full"].append(await _turn(stack.target("wallet"), pid, shown))
            finally:
                await bare.stop()
            return Cost(
                origin=await origin(stack.admin_dsn), bare=found["bare"][1:], full=found["full"][1:]
            )


async def _turn(target: str, pid: int, shown: Mapping[str, str]) -> Turn:
    process = psutil.Process(pid)
    before = process.cpu_times()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "trials.security.load", target, str(TURN)),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", **shown},
    )
    output, _ = await child.communicate()
    after = process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return turn_of(json.loads(output), cpu_seconds=cpu)


def rows(cost: Cost) -> list[tuple[str, ...]]:
    """Return the medians of the turns."""
    return [
        (
            name,
            f"{median(turn.rate for turn in turns):,.0f}",
            f"{median(turn.p50_ms for turn in turns):.2f}",
            f"{median(turn.p99_ms for turn in turns):.2f}",
            f"{median(turn.cpu_us for turn in turns):.0f}",
        )
        for name, turns in (("bare grpc.aio", cost.bare), ("everything on", cost.full))
    ]


def verdict(cost: Cost) -> str:
    """Return the verdict in one line."""
    word = "met" if cost.is_met else "NOT met"
    return f"{cost.ratio:.2f} of the bare server's throughput; goal {GOAL}: {word}"


def report_of(cost: Cost) -> Report:
    """Return the report of both servers, with the goal below them."""
    return Report(
        name="cost",
        title="What everything costs",
        origin=cost.origin,
        commands=["python -m trials.security.cost"],
        parts=[Table(columns=_COLUMNS, rows=rows(cost))],
        verdict=verdict(cost),
        passed=cost.is_met,
        content=asdict(cost) | {"ratio": cost.ratio, "goal": GOAL, "met": cost.is_met},
    )


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.security.cost", description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    add_options(parser)
    options = parser.parse_args(arguments)
    cost = asyncio.run(measure(options.turns))
    tell(console_of(options), report_of(cost), options)
    return 0 if cost.is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
