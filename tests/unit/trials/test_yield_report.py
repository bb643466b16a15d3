"""The comparison as a whole, at a small scale: goals, tables, picture, JSON."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from trials.report import as_json, as_markdown
from trials.yields import __main__ as command
from trials.yields.gate import simulate_gate
from trials.yields.goals import Goal, goals_of
from trials.yields.plans import Fees
from trials.yields.run import HOMESTEAD, YieldPlan, YieldResult, gate_world, run_yield
from trials.yields.tables import report_of

PLAN = YieldPlan(blocks_25=6, blocks_1000=2, warm_up=1, seed=1, command="test")


@pytest.fixture(scope="module")
def result() -> Iterator[YieldResult]:
    yield asyncio.run(run_yield(PLAN, lambda _: None))


def named(goals: list[Goal], text: str) -> list[Goal]:
    return [goal for goal in goals if text in goal.name]


def test_every_world_has_its_goals(result: YieldResult) -> None:
    goals = goals_of(result)
    assert len(named(goals, "lost, expected")) == 4 + len(result.harder)
    assert len(named(goals, "best schedule")) == 4
    assert len(named(goals, "240 s")) == 4
    assert len(named(goals, "homestead")) == 2
    assert len(named(goals, "gate")) == 1


def test_a_goal_is_missed_by_a_plan_that_loses_or_earns_too_little(result: YieldResult) -> None:
    world = result.worlds[0]
    losing = replace(world.default, expected_lost=1.0)
    poor = replace(world.default, rewards=world.rival(HOMESTEAD).rewards)
    for outcome, missed in ((losing, "lost"), (poor, "homestead"), (poor, "best schedule")):
        worse = replace(result, worlds=[replace(world, default=outcome)])
        assert not any(goal.met for goal in named(goals_of(worse), missed)[:1])


def test_a_gate_that_is_wrong_for_two_blocks_misses_its_goal(result: YieldResult) -> None:
    slow = replace(result.gate, most_wrong=2)
    (goal,) = named(goals_of(replace(result, gate=slow)), "gate")
    assert not goal.met


def test_the_page_has_all_worlds_and_the_picture(result: YieldResult) -> None:
    page = as_markdown(report_of(result))
    for world in result.worlds:
        assert f"## {world.world.name}\n" in page
    assert "](yield.svg)" in page


def test_the_picture_is_a_plot_for_each_world(result: YieldResult) -> None:
    picture = report_of(result).picture
    assert picture is not None
    root = ElementTree.fromstring(picture.svg)  # noqa: S314  (made by ourselves)
    bounds = [one for one in root.iter() if one.get("class") == "bound"]
    assert len(bounds) == len(result.worlds)
    assert len([one for one in root.iter() if one.tag.endswith("circle")]) > 20


def test_the_json_has_every_outcome(result: YieldResult) -> None:
    found = json.loads(as_json(report_of(result)))
    assert [world["default"]["plan"] for world in found["worlds"]] == ["default"] * 4
    assert found["gate"]["changes"] == 10
    assert found["worlds"][0]["default"]["kale_each"] > 0


def test_the_gate_is_wrong_by_one_block_at_most() -> None:
    """About a hundred farmers, of whom some, all or none earn their fees."""
    world = gate_world(PLAN)
    crowds = tuple(replace(crowd, farmers=-(-crowd.farmers // 10)) for crowd in world.crowds)
    small = replace(world, farmers=100, hash_rate=world.hash_rate / 10, crowds=crowds)
    fees = Fees()
    # A tenth of the farmers earn ten times as much each.
    dear = replace(
        fees, plant_staked=10 * fees.plant_staked, plant=10 * fees.plant,
        work=10 * fees.work, harvest=10 * fees.harvest,
    )  # fmt: skip
    outcome = simulate_gate(small, dear)
    assert outcome.changes == 10
    assert outcome.most_wrong == 1
    assert outcome.took_part > 0
    assert outcome.sat_out > 0


def test_the_command_says_the_same_twice(
    result: YieldResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(plan: YieldPlan, _: object) -> YieldResult:
        return replace(result, plan=plan)

    monkeypatch.setattr(command, "run_yield", run)
    monkeypatch.setattr(command, "write", lambda *_: [])
    assert command.main(["--json", "--no-write"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["seed"] == 1
    assert command.main(["--json", "--no-write", "--strict"]) == (
        0 if all(goal["met"] for goal in found["goals"]) else 1
    )
