"""What a fault run says of itself: rows that struck nowhere, rows that were run apart."""

import re
from dataclasses import replace
from pathlib import Path

from tests.support.results import ORIGIN
from trials.faults.__main__ import _joined
from trials.faults.checker import Findings
from trials.faults.earlier import read, write
from trials.faults.liars import liar_groups
from trials.faults.run import Cell, FaultResult
from trials.faults.scenarios import (
    DELIVERY_EDGES,
    ELSEWHERE,
    FARMING,
    NOTIFY,
    PAYOUTS,
    PHASES,
    failpoints,
    groups,
    payout_failpoints,
)
from trials.faults.tables import command, problems, summary

CELL = Cell(
    group="node",
    scenario="sends fail",
    phase="plant",
    seconds=1.0,
    kills=0,
    strikes=1,
    error="",
    findings=Findings(asked=1, done=1),
)
OTHER = replace(CELL, scenario="other")
RESULT = FaultResult(
    origin=ORIGIN,
    seed=1,
    cells=[CELL, OTHER],
    final=[],
    not_run=[],
    whole=["node"],
    commands=["python -m trials.faults run"],
)


def test_the_table_has_every_failpoint_and_enough_kills() -> None:
    rows = {group.name: group.scenarios for group in groups(farmers=4, random_kills=200)}
    assert failpoints()
    for name in ("kill", "kill-multicall"):
        row = {scenario.name: scenario for scenario in rows[name]}
        # A later passage needs several calls: one by one, as one call passes most edges once.
        assert not any(row[f"kill at {failpoint}@1"].in_turn for failpoint in failpoints())
        assert all(row[f"kill at {failpoint}@3"].in_turn for failpoint in failpoints())
    assert len(rows["random"]) * len(PHASES) >= 200, "at least one in each cell"
    for name, scenarios in rows.items():
        assert len({row.name for row in scenarios}) == len(scenarios), name
    assert any(row.quick for scenarios in rows.values() for row in scenarios)


ROOT = Path(__file__).parents[3]


def test_every_failpoint_has_a_row_that_kills_there_or_another_test() -> None:
    """Who adds one without either is told."""
    rows = [row.name for group in groups(farmers=4, random_kills=1) for row in group.scenarios]
    tried = {name for row in rows for name in re.findall(r"kill at ([\w.]+)@", row)}
    sources = [
        path.read_text(encoding="utf-8")
        for name in ("wallet", "harvest", "plant", "work")
        for path in (ROOT / "services" / name).rglob("*.py")
    ]
    known = {name for text in sources for name in re.findall(r'failpoint\(\s*"([^"]+)"', text)}
    assert known
    for name in known - tried:
        prefixes = [prefix for prefix in ELSEWHERE if name.startswith(prefix)]
        assert prefixes, name
        test = ELSEWHERE[max(prefixes, key=len)]
        assert name in (ROOT / test).read_text(encoding="utf-8"), name


def test_payouts_are_killed_at_every_failpoint_with_each_carrier() -> None:
    rows = {group.name: group.scenarios for group in groups(farmers=4, random_kills=1)}
    for name in ("payouts", "payouts-multicall"):
        killed = {row.name.partition("@")[0]: row.phases for row in rows[name] if "@" in row.name}
        assert [f"payouts: kill at {failpoint}" for failpoint in payout_failpoints()] == list(
            killed
        )
        assert {phase for phases in killed.values() for phase in phases} == set(PAYOUTS)
        # What comes of lost answers and of processes that die anywhere is tried in all phases.
        assert all(row.phases == PAYOUTS for row in rows[name] if "@" not in row.name)
    assert {"harvest.payout.told", "wallet.payouts.recorded"} <= set(payout_failpoints())
    assert "wallet.batch.recorded" not in payout_failpoints()
    assert "wallet.payouts.recorded" not in failpoints()


def test_the_quick_run_has_a_row_of_payouts_on_the_whole_pool() -> None:
    every = groups(farmers=4, random_kills=1)
    short = {group.name: group for group in _joined(every + liar_groups(every[0].config))}
    paying = short.pop("quick-payouts")
    assert 1 <= len(paying.scenarios) <= 2
    assert all(row.pays for row in paying.scenarios)
    assert paying.config.whole
    assert not any(row.pays for group in short.values() for row in group.scenarios)
    assert not short["quick"].config.whole


def test_who_harvests_in_a_row_has_worked_in_the_row_before() -> None:
    for group in groups(farmers=4, random_kills=200):
        for row in group.scenarios:
            known = set(row.phases) <= set(PHASES) or row.phases == (NOTIFY,) or row.pays
            assert known, row.name
            both = ("work" in row.phases) == ("plant" in row.phases)
            assert both, f"{row.name}: who plants also works, as the next row harvests that block"
            assert "plant" in row.phases or not set(FARMING) & set(row.phases), row.name


def test_registry_is_killed_wherever_it_sends_to_webhooks() -> None:
    services = ROOT / "services" / "registry"
    sources = (path.read_text(encoding="utf-8") for path in services.rglob("*.py"))
    known = {name for text in sources for name in re.findall(r'"(registry\.delivery\.\w+)"', text)}
    assert set(DELIVERY_EDGES) == known
    (group,) = [one for one in groups(farmers=4, random_kills=1) if one.name == "webhooks"]
    assert all(row.phases == (NOTIFY,) for row in group.scenarios)
    assert group.config.registry_environment
    # The quick run has a part of it, on a pool that has registry.
    assert [row.name for row in group.scenarios if row.quick]
    assert _joined(groups(farmers=4, random_kills=1) + liar_groups(group.config))[
        0
    ].config.registry_environment


def test_a_cell_tells_how_to_see_it_again() -> None:
    assert CELL.passed
    assert (
        command(CELL, 3) == "python -m trials.faults run --group node --only 'sends fail' --seed 3"
    )


def test_what_did_not_happen_is_not_ok() -> None:
    assert CELL.verdict == "ok"
    assert replace(CELL, strikes=0).verdict == "not reached"
    assert replace(CELL, strikes=0, error="gone").verdict == "FAILED"


def test_a_row_that_struck_nowhere_fails_the_run() -> None:
    missed = replace(CELL, phase="work", strikes=0)
    assert RESULT.passed
    one_of_two = replace(RESULT, cells=[CELL, missed])
    assert one_of_two.passed
    assert summary(one_of_two).startswith("2 cells (1 not reached), 2 operations")
    nowhere = replace(RESULT, cells=[missed, OTHER])
    assert not nowhere.passed
    assert problems(nowhere) == ["node: 'sends fail' has struck in no phase"]
    assert summary(nowhere).endswith("1 rows that struck nowhere")


def test_what_was_wrong_at_the_end_is_counted_in_the_line() -> None:
    assert summary(replace(RESULT, final=["node: a balance"])).endswith(
        "1 differences at the end of groups"
    )


def test_rows_that_were_run_apart_stand_together(tmp_path: Path) -> None:
    lost = replace(CELL, findings=Findings(asked=1, done=0, lost=1))
    first = replace(RESULT, cells=[lost, OTHER], not_run=["pool-clock: no library"])
    write(first, tmp_path)
    assert read(tmp_path / ORIGIN.label / "faults.json") == first
    clock = replace(CELL, group="pool-clock")
    later = replace(
        RESULT,
        cells=[CELL, clock],
        whole=["pool-clock"],
        commands=["python -m trials.faults run --only"],
    )
    write(later, tmp_path)
    whole = read(tmp_path / ORIGIN.label / "faults.json")
    assert whole.cells == [OTHER, CELL, clock]
    assert (whole.final, whole.not_run, whole.passed) == ([], [], True)
    assert whole.whole == ["node", "pool-clock"]
    assert whole.commands == ["python -m trials.faults run", "python -m trials.faults run --only"]
    page = (tmp_path / ORIGIN.label / "faults.md").read_text(encoding="utf-8")
    assert "\n".join(whole.commands) in page
    write(replace(first, seed=2), tmp_path)
    assert read(tmp_path / ORIGIN.label / "faults.json") == replace(first, seed=2)


def test_a_wrong_end_is_wrong_until_the_whole_group_was_run_again(tmp_path: Path) -> None:
    """A single row that is run again has a pool of its own, whose end says nothing of that one."""
    write(replace(RESULT, final=["node: a balance"]), tmp_path)
    path = tmp_path / ORIGIN.label / "faults.json"
    write(replace(RESULT, cells=[CELL], whole=[]), tmp_path)
    assert read(path).final == ["node: a balance"]
    assert not read(path).passed
    write(replace(RESULT, cells=[CELL], whole=[], final=["node: a balance"]), tmp_path)
    assert read(path).final == ["node: a balance"]
    write(RESULT, tmp_path)
    assert (read(path).final, read(path).passed) == ([], True)


def test_a_group_that_was_run_again_has_no_rows_of_before(tmp_path: Path) -> None:
    """Random rows end with enough kills, sometimes earlier."""
    write(RESULT, tmp_path)
    write(replace(RESULT, cells=[CELL]), tmp_path)
    assert read(tmp_path / ORIGIN.label / "faults.json").cells == [CELL]
