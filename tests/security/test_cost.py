"""What everything costs: the goal, and what a command says that misses it."""

import pytest
from rich.console import Console

from tests.support.results import ORIGIN
from trials.report import show
from trials.security import cost
from trials.security.cost import Cost, report_of
from trials.turns import Turn


def measured(ratio: float) -> Cost:
    bare = Turn(rate=5_000, p50_ms=6.0, p99_ms=11.0, cpu_us=231)
    full = Turn(rate=5_000 * ratio, p50_ms=10.0, p99_ms=18.0, cpu_us=395)
    return Cost(origin=ORIGIN, bare=[bare] * 3, full=[full] * 3)


@pytest.mark.parametrize(("ratio", "status"), [(0.56, 0), (0.5, 0), (0.49, 1)])
def test_the_command_fails_when_the_goal_is_missed(
    monkeypatch: pytest.MonkeyPatch, ratio: float, status: int
) -> None:
    async def measure(_turns: int) -> Cost:
        return measured(ratio)

    monkeypatch.setattr(cost, "measure", measure)
    assert cost.main(["--no-write", "--json"]) == status


@pytest.mark.parametrize(("ratio", "word"), [(0.56, "0.5: met"), (0.49, "0.5: NOT met")])
def test_the_table_says_the_goal_and_whether_it_was_met(ratio: float, word: str) -> None:
    console = Console(width=120)
    with console.capture() as said:
        show(console, report_of(measured(ratio)))
    assert f"{ratio:.2f} of the bare server's throughput; goal {word}" in said.get()
    assert report_of(measured(ratio)).content["met"] is (ratio >= 0.5)
