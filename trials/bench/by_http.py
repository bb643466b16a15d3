"""python -m trials.bench.by_http: what the gateway costs, beside a call by grpc.aio without it.

In one run, and in turns: GetBlock of a server that does nothing, called by grpc.aio, and through
the gateway by HTTP with a token: many calls at a time, and one at a time. Then a thousand streams
of events, and a thousand open pages that are read again as browsers do. The gateway has a core of
its own where the system can give it one, server and callers have another. Written to
trials/results. Exit status 1 when a goal is missed.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from trials.bench.goals import Goal
from trials.bench.place import Alone, LoadTurn, Others, Watch, open_place
from trials.machine import Origin, origin
from trials.report import Report, Table, add_options, console_of, tell

#: Share of the throughput of grpc.aio that is left through the gateway, at least.
SHARE = 0.3
#: Requests a second, at least, where grpc.aio makes PACE; in proportion elsewhere.
RATE, PACE = 1_500, 5_000
#: Milliseconds that the gateway adds to the median of a call, at most.
ADDED = 1.0
#: People who look on, the cores that they cost at most, and milliseconds until an event is there.
VIEWERS, CORES, LATE = 1_000, 1.0, 1_000.0
#: Seconds of one turn, and for which people look on.
TURN, WATCHING = 4.0, 20.0
#: Calls at a time.
_PARALLEL = 32
#: Cores that others take from which on the figures by the clock say little.
_QUIET = 0.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    #: Turns of each kind of call, and the seconds of one.
    turns: int
    seconds: float = TURN
    #: People who look on, and for how many seconds.
    viewers: int = VIEWERS
    watching: float = WATCHING


@dataclass(frozen=True, kw_only=True)
class Cost:
    """All that was measured."""

    origin: Origin
    #: Whether the gateway had a core of its own.
    is_pinned: bool
    #: Cores that other processes of the machine took meanwhile.
    others: float
    #: Turns with many calls at a time.
    grpc: Sequence[LoadTurn]
    http: Sequence[LoadTurn]
    #: Turns with one call at a time.
    alone: Sequence[Alone]
    #: People who only have streams open, and people with whole pages.
    streams: Watch
    pages: Watch

    @property
    def share(self) -> float:
        """Return the share of grpc.aio's throughput that is left: the turns' median."""
        return median(h.rate / g.rate for g, h in zip(self.grpc, self.http, strict=True))

    @property
    def share_by_cpu(self) -> float:
        """Return the share that the processes' CPU time allows, whatever else the machine does."""
        pairs = zip(self.grpc, self.http, strict=True)
        return median(g.busier_us / h.cpu_us for g, h in pairs)

    @property
    def added_ms(self) -> float:
        """Return the milliseconds that the gateway adds to the median of a call."""
        return median(one.added_ms for one in self.alone)

    def goals(self) -> list[Goal]:
        """Return every figure beside its goal."""
        bare, rate = (median(turn.rate for turn in turns) for turns in (self.grpc, self.http))
        wanted = RATE * min(1.0, bare / PACE)
        return [
            Goal(name="grpc.aio over HTTP", figure=1 / self.share, at_most=1 / SHARE, unit="times"),
            Goal(
                name="time of a request, on a core that is busy",
                figure=1e6 / rate,
                at_most=1e6 / wanted,
                unit="µs",
            ),
            Goal(name="added to the median", figure=self.added_ms, at_most=ADDED, unit="ms"),
            *_watch_goals(f"{self.streams.viewers:,} streams of events", self.streams),
            *_watch_goals(f"{self.pages.viewers:,} open pages", self.pages),
        ]

    @property
    def is_met(self) -> bool:
        """Tell whether all goals are met, and no viewer missed an event."""
        is_whole = all(one.fewest >= one.most - 1 for one in (self.streams, self.pages))
        return is_whole and all(goal.met for goal in self.goals())


def _watch_goals(name: str, watch: Watch) -> list[Goal]:
    return [
        Goal(name=f"cores for {name}", figure=watch.cores, at_most=CORES, unit="cores"),
        Goal(
            name=f"an event is there (99th percentile), {name}",
            figure=watch.event_p99_ms,
            at_most=LATE,
            unit="ms",
        ),
    ]


async def measure(plan: Plan) -> Cost:
    """Measure all kinds in turns, after one turn of each that does not count."""
    grpc, http, alone = list[LoadTurn](), list[LoadTurn](), list[Alone]()
    others = Others()
    with tempfile.TemporaryDirectory() as scratch:
        async with open_place(Path(scratch)) as place:
            for _ in range(plan.turns + 1):
                grpc.append(await place.turn("grpc", plan.seconds, _PARALLEL))
                http.append(await place.turn("http", plan.seconds, _PARALLEL))
                alone.append(await place.alone(plan.seconds))
            streams, pages = [
                await place.watch(plan.viewers, plan.watching, reads_again=reads_again)
                for reads_again in (False, True)
            ]
            is_pinned = bool(place.own_core)
            beside = others.cores(sum(place.cpu()))
    return Cost(
        origin=await origin(),
        is_pinned=is_pinned,
        others=beside,
        grpc=grpc[1:],
        http=http[1:],
        alone=alone[1:],
        streams=streams,
        # What those before gave back, the process keeps for those who come.
        pages=replace(pages, before=streams.before),
    )


def parts_of(cost: Cost) -> list[Table | str]:
    """Return the medians of the turns, those who look on, and the goals."""
    where = "the gateway has a core of its own" if cost.is_pinned else "all share the cores"
    busy = "; the figures by the clock say little" if cost.others > _QUIET else ""
    return [
        Table(
            title=f"calls of GetBlock, {_PARALLEL} at a time; {where}",
            columns=(
                *("way", "calls a second", "p50 ms", "p99 ms"),
                *("CPU µs a call of who is called", "of who calls"),
            ),
            rows=[_row("grpc.aio", cost.grpc), _row("the gateway", cost.http)],
        ),
        f"Share of grpc.aio's calls by the processes' CPU time: {cost.share_by_cpu:.2f}.",
        f"Other processes of the machine took {cost.others:.2f} cores meanwhile{busy}.",
        Table(
            title="one call at a time, by both ways in turns",
            columns=("way", "p10 ms", "p50 ms", "p99 ms"),
            rows=[_alone("grpc.aio", cost.alone), _alone("the gateway", cost.alone)],
        ),
        Table(
            title="people who look on",
            columns=(
                *("what", "events each", "p50 ms", "p99 ms", "pages read", "p50 ms", "p99 ms"),
                *("cores", "CPU µs an event", "KiB each"),
            ),
            rows=[_watch("streams alone", cost.streams), _watch("open pages", cost.pages)],
        ),
        Table(
            title="goals",
            columns=("what", "figure", "at most", "unit", "verdict"),
            rows=[
                (
                    goal.name,
                    f"{goal.figure:.2f}",
                    f"{goal.at_most:.2f}",
                    goal.unit,
                    "met" if goal.met else "NOT met",
                )
                for goal in cost.goals()
            ],
        ),
    ]


def _row(name: str, turns: Sequence[LoadTurn]) -> tuple[str, ...]:
    return (
        name,
        f"{median(turn.rate for turn in turns):,.0f}",
        f"{median(turn.p50_ms for turn in turns):.2f}",
        f"{median(turn.p99_ms for turn in turns):.2f}",
        f"{median(turn.cpu_us for turn in turns):.0f}",
        f"{median(turn.caller_us for turn in turns):.0f}",
    )


def _alone(name: str, turns: Sequence[Alone]) -> tuple[str, ...]:
    way = "grpc" if name == "grpc.aio" else "http"
    names = [f"{way}_{percentile}_ms" for percentile in ("p10", "p50", "p99")]
    return (name, *(f"{median(getattr(one, each) for one in turns):.2f}" for each in names))


def _watch(name: str, watch: Watch) -> tuple[str, ...]:
    has_reads = watch.reads > 0
    return (
        f"{watch.viewers:,} {name}",
        f"{watch.fewest} to {watch.most} in {watch.seconds:.0f} s",
        f"{watch.event_p50_ms:.1f}",
        f"{watch.event_p99_ms:.1f}",
        f"{watch.reads:,}" if has_reads else "–",
        f"{watch.read_p50_ms:.1f}" if has_reads else "–",
        f"{watch.read_p99_ms:.1f}" if has_reads else "–",
        f"{watch.cores:.2f}",
        f"{watch.cpu_us:.0f}",
        f"{watch.bytes_each / 1024:.0f}",
    )


def verdict(cost: Cost) -> str:
    """Return the verdict in one line."""
    word = "met" if cost.is_met else "NOT met"
    return f"{cost.share:.2f} of grpc.aio's throughput, {cost.added_ms:.2f} ms added; goals {word}"


def report_of(cost: Cost) -> Report:
    """Return the report."""
    goals = [asdict(goal) | {"met": goal.met} for goal in cost.goals()]
    return Report(
        name="by-http",
        title="What the gateway costs",
        origin=cost.origin,
        commands=["python -m trials.bench.by_http"],
        parts=parts_of(cost),
        verdict=verdict(cost),
        passed=cost.is_met,
        content=asdict(cost)
        | {"share": cost.share, "share_by_cpu": cost.share_by_cpu, "added_ms": cost.added_ms}
        | {"goals": goals, "met": cost.is_met},
    )


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.bench.by_http", description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--viewers", type=int, default=VIEWERS)
    add_options(parser)
    options = parser.parse_args(arguments)
    cost = asyncio.run(measure(Plan(turns=options.turns, viewers=options.viewers)))
    tell(console_of(options), report_of(cost), options)
    return 0 if cost.is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
