"""How the results of this room look."""

from collections.abc import Sequence
from dataclasses import asdict

from trials.machine import Origin
from trials.report import Report, Table
from trials.shares.bench import SHARES, SOON, Cost, Rate, Soon
from trials.shares.hostile import HostileResult
from trials.shares.kills import KillResult


def report_of_cost(cost: Cost) -> Report:
    """Return the report of what shares cost."""
    where = "the server has a core of its own" if cost.is_pinned else "all share the cores"
    rates = Table(
        title=f"shares brought by HTTP; {where}",
        columns=("shares of a request", "shares", "a second", "CPU µs a share", "a core takes"),
        rows=[_rate(rate) for rate in cost.rates],
    )
    streams = Table(
        title="a new block's job on every stream, from the moment that the pooler knows the block",
        columns=("streams", "jobs", "p50 ms", "p99 ms", "most ms", "server's CPU ms", "KiB each"),
        rows=[_soon(cost.soon)],
    )
    return Report(
        name="shares",
        title="What shares cost",
        origin=cost.origin,
        commands=["python -m trials.shares bench"],
        parts=[rates, streams, _goals(cost)],
        verdict=f"goals {_word(cost.is_met)}",
        passed=cost.is_met,
        content=asdict(cost) | {"met": cost.is_met},
    )


def report_of_kills(result: KillResult, origin: Origin) -> Report:
    """Return the report of kills."""
    rows = [
        ("kills", f"{result.kills:,}"),
        ("shares that miners sent", f"{result.sent:,}"),
        ("shares that were acknowledged", f"{result.acknowledged:,}"),
        ("shares in the database", f"{result.credited:,}"),
        ("blocks that were divided", f"{result.divided:,}"),
    ]
    sound = "no share twice, no acknowledged share lost"
    return Report(
        name="share-kills",
        title="Killed while miners bring shares",
        origin=origin,
        commands=[f"python -m trials.shares kill --times {result.kills}"],
        parts=[_figures(rows)],
        problems=result.problems,
        verdict=sound if result.passed else "FAILED",
        passed=result.passed,
        content=asdict(result),
    )


def report_of_attack(result: HostileResult, origin: Origin) -> Report:
    """Return the report of hostile miners."""
    statuses = sorted(result.statuses.items())
    rows = [
        ("hostile requests", f"{result.requests:,}"),
        *((f"answered by {status or 'closing'}", f"{count:,}") for status, count in statuses),
        ("MiB of memory when it was warm", f"{result.warm / 2**20:.0f}"),
        ("MiB of memory at the end", f"{result.memory / 2**20:.0f}"),
        ("shares of the honest, acknowledged", f"{result.acknowledged:,}"),
        ("shares of the honest, in the database", f"{result.credited:,}"),
    ]
    sound = "nothing fell, and the honest have what is theirs"
    return Report(
        name="share-attacks",
        title="Hostile miners",
        origin=origin,
        commands=[f"python -m trials.shares attack --requests {result.requests}"],
        parts=[_figures(rows)],
        problems=result.problems,
        verdict=sound if result.passed else "FAILED",
        passed=result.passed,
        # asdict makes a Counter of pairs out of a Counter.
        content=asdict(result)
        | {"statuses": dict(result.statuses), "refused": dict(result.refused)},
    )


def _rate(rate: Rate) -> tuple[str, ...]:
    figures = (rate.batch, rate.shares, round(rate.rate), round(rate.cpu_us), round(rate.of_core))
    return tuple(f"{figure:,}" for figure in figures)


def _soon(soon: Soon) -> tuple[str, ...]:
    figures = (soon.p50_ms, soon.p99_ms, soon.most_ms, soon.cpu_ms, soon.kib_each)
    return (f"{soon.streams:,}", f"{soon.jobs:,}", *(f"{figure:.0f}" for figure in figures))


def _goals(cost: Cost) -> Table:
    first, most = cost.rates[0].of_core, cost.soon.most_ms
    return Table(
        title="goals",
        columns=("what", "figure", "goal", "unit", "verdict"),
        rows=[
            (
                "one core takes, each share in a request of its own",
                f"{first:,.0f}",
                f"at least {SHARES:,}",
                "shares/s",
                _word(first >= SHARES),
            ),
            (
                "the last stream has a new block's job",
                f"{most:.0f}",
                f"at most {SOON:.0f}",
                "ms",
                _word(most <= SOON),
            ),
        ],
    )


def _figures(rows: Sequence[tuple[str, str]]) -> Table:
    return Table(columns=("what", "figure"), rows=rows)


def _word(is_met: bool) -> str:
    return "met" if is_met else "NOT met"
