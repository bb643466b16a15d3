"""The judge of the fault runs: what counts as lost, doubled, wrong, open and given up."""

from dataclasses import replace
from typing import Any, cast

import pytest

from devstack.chain_view import ChainPlant
from devstack.farm_calls import FarmCall
from trials.faults.checker import Findings, Question, check, over_cap
from trials.faults.witness import SeenCall, SeenFee, Witness
from trials.payments import SeenPayment

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
