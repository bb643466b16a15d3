"""What the gateway costs: the goals, and what a command says that misses one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from devstack.processes import Command, Process, ProcessDiedError
from tests.support.results import ORIGIN
from trials.bench import by_http
from trials.bench.by_http import Cost, Plan, Reading, Turn, report_of
from trials.report import show

BARE = Turn(rate=5_000, p50_ms=6.0, p99_ms=11.0, cpu_us=200)
READING = Reading(
    readers=1_000,
    seconds=20.0,
    fewest=39,
    most=40,
    p50_ms=20.0,
    p99_ms=60.0,
    cores=0.4,
    before=80 << 20,
    after=140 << 20,
)


def measured(*, rate: float = 2_000, bare: float = 5_000, added: float = 0.8, **read: Any) -> Cost:
    full = replace(BARE, rate=rate, cpu_us=480)
    alone = replace(BARE, rate=1_200, p50_ms=0.8)
    return Cost(
        origin=ORIGIN,
        is_pinned=True,
        grpc=[replace(BARE, rate=bare)] * 3,
        http=[full] * 3,
        grpc_alone=[alone] * 3,
        http_alone=[replace(alone, p50_ms=0.8 + added)] * 3,
        reading=replace(READING, **read),
    )


@pytest.mark.parametrize(
    ("cost", "is_met"),
    [
        (measured(), True),
        (measured(rate=1_499), False),
        # A machine on which grpc.aio is slower has less to reach.
        (measured(rate=1_200, bare=3_900), True),
        (measured(rate=1_100, bare=3_900), False),
        (measured(rate=2_000, bare=7_000), False),
        (measured(added=1.1), False),
        (measured(cores=1.1), False),
        (measured(p99_ms=1_001.0), False),
        (measured(fewest=30), False),
    ],
)
def test_the_command_fails_when_a_goal_is_missed(
    monkeypatch: pytest.MonkeyPatch, cost: Cost, *, is_met: bool
) -> None:
    async def measure(_plan: Plan) -> Cost:
        return cost

    monkeypatch.setattr(by_http, "measure", measure)
    assert by_http.main(["--no-write", "--json"]) == (0 if is_met else 1)


def test_the_table_says_each_goal_and_whether_it_was_met() -> None:
    console = Console(width=160)
    with console.capture() as said:
        show(console, report_of(measured(added=1.25)))
    text = " ".join(said.get().split())
    assert "│ added to the median │ 1.25 │ 1.00 │ ms │ NOT met │" in text
    assert "│ the gateway, 32 at a time │ 2,000 │" in text
    assert "0.40 of grpc.aio's throughput, 1.25 ms added; goals NOT met" in text


async def test_a_short_run_measures_everything() -> None:
    plan = Plan(turns=1, seconds=0.3, readers=20, reading=1.5)
    cost = await by_http.measure(plan)
    assert cost.share > 0
    assert all(turn.rate > 0 for turn in (*cost.grpc, *cost.http, *cost.http_alone))
    assert cost.reading.fewest > 0
    assert len(cost.goals()) == 5


async def test_a_server_that_does_not_start_is_told(tmp_path: Path) -> None:
    process = Process(
        Command(name="server", arguments=("-c", "raise SystemExit(3)"), environment={}),
        tmp_path,
    )
    await process.start()
    with pytest.raises(ProcessDiedError, match=r"server ended"):
        await by_http._listens(process, 1)
