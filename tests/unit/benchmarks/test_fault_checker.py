"""The judge of the fault runs: what counts as lost, doubled, wrong, open and given up."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from demo.chain_view import ChainPlant
from demo.farm_calls import FarmCall
from faults.checker import Findings, Question, after_farming, after_payments, check, over_cap
from faults.report import command, read, write
from faults.run import Cell, FaultResult
from faults.scenarios import PHASES, failpoints, groups
from faults.witness import SeenCall, SeenFee, SeenPayment, Witness
from tests.support.results import ORIGIN

FARMER, OTHER = "GA", "GB"
QUESTION = Question(
    phase="plant", block=7, addresses=[FARMER], calls_before=0, fees_before=0, cap=1000
)
DONE = {"address": FARMER, "state": "succeeded", "amount": 5, "ledger": 30, "reason": None}


class Records:
    """Answers the one query with what a test gives it."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = list(rows)

    async def many(self, _name: str, *_arguments: object) -> list[dict[str, Any]]:
        return self._rows


def witness(*, planted: bool = True, calls: int = 1) -> Witness:
    seen = Witness(cast(Any, None), "")
    if planted:
        seen.view.plants[FARMER, 7] = ChainPlant(ledger=30, stake=5)
    plant = FarmCall(function="plant", farmer=FARMER, block=None, ok=True, value=None)
    seen.calls = [SeenCall(call=plant, ledger=30 + number) for number in range(calls)]
    seen.fees = [SeenFee(hash="00", calls=1, bid=1000, charged=900)]
    return seen


async def judge(
    chain: Witness, *rows: dict[str, Any], phase: str = "plant", block: int = 7
) -> Findings:
    return await check(
        cast(Any, Records(*rows)), chain, replace(QUESTION, phase=phase, block=block)
    )


async def test_equal_is_clean() -> None:
    findings = await judge(witness(), DONE)
    assert findings.is_clean
    assert (findings.asked, findings.done) == (1, 1)


@pytest.mark.parametrize(
    ("field", "chain", "row"),
    [
        ("lost", witness(), None),
        ("lost", witness(planted=False, calls=0), DONE),
        ("doubled", witness(), DONE | {"state": "failed", "reason": "EXPIRED"}),
        ("doubled", witness(calls=2), DONE),
        ("left_open", witness(), DONE | {"state": "sent"}),
        ("wrong", witness(), DONE | {"ledger": 31}),
    ],
)
async def test_each_finding(field: str, chain: Witness, row: dict[str, Any] | None) -> None:
    findings = await judge(chain, *([row] if row else []))
    assert getattr(findings, field) == 1, findings
    assert findings.notes
    assert not findings.is_clean


async def test_given_up_is_told_by_reason() -> None:
    nothing = witness(planted=False, calls=0)
    findings = await judge(nothing, DONE | {"state": "failed", "reason": "BLOCK_CLOSED"})
    assert findings.given_up == {"BLOCK_CLOSED": 1}
    assert not findings.is_clean


def test_a_stroop_above_the_cap_is_found() -> None:
    fees = [
        SeenFee(hash="00", calls=1, bid=1000, charged=900),
        SeenFee(hash="01", calls=1, bid=1001, charged=900),
        SeenFee(hash="02", calls=2, bid=2000, charged=2000),
        SeenFee(hash="03", calls=2, bid=2000, charged=2001),
    ]
    assert [fee.hash for fee in over_cap(fees, 1000)] == ["01", "03"]


def test_balances_follow_from_the_chain() -> None:
    seen = witness()
    seen.view.harvests[FARMER, 7] = 40
    seen.view.plants[FARMER, 8] = ChainPlant(ledger=60, stake=3)
    seen.payments.append(SeenPayment(source=FARMER, destination=OTHER, amount=5))
    given = after_payments(seen, {FARMER: 100, OTHER: 100})
    assert given == {FARMER: 95, OTHER: 105}
    assert after_farming(seen, given) == {FARMER: 132, OTHER: 105}


@pytest.mark.parametrize(
    ("amounts", "field"),
    [([5], None), ([], "lost"), ([5, 5], "wrong"), ([4, 5], None)],
)
async def test_a_withdrawal_is_paid_once(amounts: list[int], field: str | None) -> None:
    seen = witness()
    seen.payments = [
        SeenPayment(source=FARMER, destination=OTHER, amount=amount) for amount in amounts
    ]
    found = await judge(seen, DONE | {"amount": 5}, phase="withdraw", block=4)
    assert [name for name in ("lost", "wrong", "doubled") if getattr(found, name)] == (
        [] if field is None else [field]
    )


def test_the_table_has_every_failpoint_and_enough_kills() -> None:
    rows = {group.name: group.scenarios for group in groups(farmers=4, random_kills=200)}
    names = {row.name for row in rows["kill"]}
    assert failpoints()
    assert all(f"kill at {name}@1" in names for name in failpoints())
    assert len(rows["random"]) * len(PHASES) >= 200, "at least one in each cell"
    for name, scenarios in rows.items():
        assert len({row.name for row in scenarios}) == len(scenarios), name
    assert any(row.quick for scenarios in rows.values() for row in scenarios)


CELL = Cell(
    group="node",
    scenario="sends fail",
    phase="plant",
    seconds=1.0,
    kills=0,
    is_unreached=False,
    error="",
    findings=Findings(asked=1, done=1),
)


def test_a_cell_tells_how_to_see_it_again() -> None:
    assert CELL.passed
    assert command(CELL, 3) == "python -m faults run --group node --only 'sends fail' --seed 3"


def test_rows_that_were_run_apart_stand_together(tmp_path: Path) -> None:
    lost = replace(CELL, findings=Findings(asked=1, done=0, lost=1))
    first = FaultResult(
        origin=ORIGIN,
        seed=1,
        cells=[lost, replace(CELL, scenario="other")],
        final=["node: a balance"],
        not_run=["pool-clock: no library"],
    )
    write(first, tmp_path)
    assert read(tmp_path / ORIGIN.label / "faults.json") == first
    clock = replace(CELL, group="pool-clock")
    write(replace(first, cells=[CELL, clock], final=[], not_run=[]), tmp_path)
    whole = read(tmp_path / ORIGIN.label / "faults.json")
    assert whole.cells == [replace(CELL, scenario="other"), CELL, clock]
    assert (whole.final, whole.not_run, whole.passed) == ([], [], True)
    write(replace(first, seed=2), tmp_path)
    assert read(tmp_path / ORIGIN.label / "faults.json") == replace(first, seed=2)
