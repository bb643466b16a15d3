"""What the gateway costs: the goals, and what a command says that misses one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from devstack.processes import Command, Process, ProcessDiedError, listens
from tests.support.results import ORIGIN
from trials.bench import by_http
from trials.bench.by_http import Cost, Plan, report_of
from trials.bench.open_pages import path_of
from trials.bench.place import Alone, LoadTurn, Watch
from trials.report import show

BARE = LoadTurn(rate=5_000, p50_ms=6.0, p99_ms=11.0, cpu_us=180, caller_us=200)
WATCH = Watch(
    viewers=1_000,
    seconds=20.0,
    events=40_000,
    fewest=39,
    most=40,
    event_p50_ms=20.0,
    event_p99_ms=60.0,
    reads=2_000,
    read_bytes=80_000_000,
    read_p50_ms=8.0,
    read_p99_ms=70.0,
    cores=0.4,
    before=80 << 20,
    after=140 << 20,
)


def measured(
    *,
    rate: float = 2_000,
    bare: float = 5_000,
    added: float = 0.8,
    others: float = 0.0,
    streams: Watch = WATCH,
    **of_pages: Any,
) -> Cost:
    alone = Alone(
        grpc_p10_ms=0.7,
        grpc_p50_ms=0.8,
        grpc_p99_ms=1.2,
        http_p10_ms=1.1,
        http_p50_ms=0.8 + added,
        http_p99_ms=3.0,
    )
    return Cost(
        origin=ORIGIN,
        is_pinned=True,
        others=others,
        grpc=[replace(BARE, rate=bare)] * 3,
        http=[replace(BARE, rate=rate, cpu_us=500, caller_us=40)] * 3,
        alone=[alone] * 3,
        streams=streams,
        pages=replace(WATCH, **of_pages),
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
        (measured(event_p99_ms=1_001.0), False),
        (measured(fewest=30), False),
        (measured(streams=replace(WATCH, cores=1.1)), False),
        (measured(streams=replace(WATCH, fewest=30)), False),
    ],
)
def test_the_command_fails_when_a_goal_is_missed(
    monkeypatch: pytest.MonkeyPatch, cost: Cost, *, is_met: bool
) -> None:
    async def measure(_plan: Plan) -> Cost:
        return cost

    monkeypatch.setattr(by_http, "measure", measure)
    assert by_http.main(["--no-write", "--json"]) == (0 if is_met else 1)


def said_of(cost: Cost) -> str:
    console = Console(width=200)
    with console.capture() as said:
        show(console, report_of(cost))
    return " ".join(said.get().split())


def test_the_table_says_each_goal_and_whether_it_was_met() -> None:
    text = said_of(measured(added=1.25))
    assert "│ added to the median │ 1.25 │ 1.00 │ ms │ NOT met │" in text
    assert "│ the gateway │ 2,000 │" in text
    assert "│ the gateway │ 1.10 │ 2.05 │ 3.00 │" in text
    assert "0.40 of grpc.aio's throughput, 1.25 ms added; goals NOT met" in text


def test_the_table_says_what_an_event_and_a_viewer_cost() -> None:
    text = said_of(measured())
    # 0.4 cores for 20 s are 8 s of CPU, for 40,000 events; 60 MiB are for 1,000 viewers.
    assert "│ 0.40 │ 200 │ 61 │" in text


def test_the_share_by_cpu_time_counts_the_busier_process_of_grpc() -> None:
    cost = measured(rate=700)
    assert cost.share_by_cpu == 200 / 500
    assert "Share of grpc.aio's calls by the processes' CPU time: 0.40." in said_of(cost)


def test_a_machine_that_others_use_is_told() -> None:
    assert "the figures by the clock say little" in said_of(measured(others=0.7))
    assert "the figures by the clock say little" not in said_of(measured(others=0.03))


def test_open_pages_show_the_overview_a_block_and_farmers() -> None:
    paths = [path_of(number, 7) for number in range(8)]
    assert [path[:3] for path in paths[:4]] == ["/", "/bl", "/", "/fa"]
    assert paths[3] != paths[7]  # each has a farmer of its own


async def test_a_short_run_measures_everything() -> None:
    plan = Plan(turns=1, seconds=0.3, viewers=20, watching=1.5)
    cost = await by_http.measure(plan)
    assert cost.share > 0
    assert cost.share_by_cpu > 0
    assert all(turn.rate > 0 for turn in (*cost.grpc, *cost.http))
    assert all(one.grpc_p50_ms > 0 and one.http_p50_ms > 0 for one in cost.alone)
    assert cost.streams.fewest > 0
    assert cost.pages.fewest > 0
    assert len(cost.goals()) == 7


async def test_a_server_that_does_not_start_is_told(tmp_path: Path) -> None:
    process = Process(
        Command(name="server", arguments=("-c", "raise SystemExit(3)"), environment={}),
        tmp_path,
    )
    await process.start()
    with pytest.raises(ProcessDiedError, match=r"server ended"):
        await listens(1, process.check, seconds=60)
