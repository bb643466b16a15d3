"""What is asked once more at the end of a group: a late second envelope must not stay unseen."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devstack.chain_view import ChainPlant, ChainView
from devstack.farm_calls import FarmCall
from trials.canaries import Search
from trials.faults import closing, run
from trials.faults.checker import Question, check
from trials.faults.closing import after_farming, asked_again, unmatched, windows
from trials.faults.witness import SeenCall, Witness
from trials.payments import SeenPayment

FARMER, OTHER = "GA", "GB"
PLANT = Question(
    phase="plant", block=7, addresses=[FARMER], calls_before=0, fees_before=0, cap=1000
)
WITHDRAW = replace(PLANT, phase="withdraw", block=4)
NOTHING = dict.fromkeys(
    ("destination", "amount", "gap", "zeros", "ledger", "stake_returned", "reason")
)
PLANTED = NOTHING | {
    "kind": "plant", "address": FARMER, "block_index": 7, "state": "succeeded",
    "amount": 5, "ledger": 30,
}  # fmt: skip
HARVESTED = PLANTED | {"kind": "harvest", "amount": 40, "stake_returned": 5}
SENT = PLANTED | {"kind": "withdraw", "block_index": 4, "destination": OTHER}
PAYMENT = SeenPayment(source=FARMER, destination=OTHER, amount=5)


class Records:
    """Answers each query with the rows of its kind."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = list(rows)

    async def many(self, _name: str, kind: str, block: int) -> list[dict[str, Any]]:
        asked = (kind, block)
        return [row for row in self._rows if (row["kind"], row["block_index"]) == asked]


def call(function: str, *, ok: bool = True) -> SeenCall:
    return SeenCall(
        call=FarmCall(function=function, farmer=FARMER, block=None, ok=ok, value=None), ledger=30
    )


def chain() -> Witness:
    """A plant and a withdrawal."""
    seen = Witness(cast(Any, None), "")
    seen.view.plants[FARMER, 7] = ChainPlant(ledger=30, stake=5)
    seen.calls = [call("plant")]
    seen.payments = [PAYMENT]
    return seen


def difference(witness: Witness, *rows: dict[str, Any]) -> list[str]:
    return unmatched(cast(Any, rows), witness)


async def test_what_lands_after_a_cell_was_judged_is_found_at_the_end() -> None:
    witness, records = chain(), Records(PLANTED, SENT)
    arena = cast(Any, SimpleNamespace(witness=witness, records=records))
    for question in (PLANT, WITHDRAW):
        assert (await check(cast(Any, records), witness, question)).is_clean
    assert await asked_again(arena, [PLANT, WITHDRAW]) == []
    witness.payments.append(PAYMENT)
    witness.calls.append(call("plant", ok=False))
    doubled, wrong = await asked_again(arena, [PLANT, WITHDRAW])
    assert "plant of block 7, at the end" in doubled
    assert "again in ledger" in doubled
    assert "withdraw of block 4, at the end" in wrong
    assert "on the chain (5, 2)" in wrong


async def test_what_was_given_up_is_told_without_a_note() -> None:
    nothing = Witness(cast(Any, None), "")
    records = Records(PLANTED | {"state": "failed", "reason": "BLOCK_CLOSED"})
    arena = cast(Any, SimpleNamespace(witness=nothing, records=records))
    (line,) = await asked_again(arena, [PLANT])
    assert line == "plant of block 7, at the end: given up: 1 BLOCK_CLOSED"


def test_a_question_ends_where_the_next_of_its_phase_begins() -> None:
    """The next block's plant is no second one of this block."""
    asked = [PLANT, replace(WITHDRAW, calls_before=6), replace(PLANT, block=8, calls_before=9)]
    assert [item.calls_until for item in windows(asked)] == [9, None, None]
    assert [item.block for item in windows(asked)] == [7, 4, 8]


def test_all_that_is_on_the_chain_is_recorded_once() -> None:
    assert difference(chain(), PLANTED) == []


@pytest.mark.parametrize(
    ("rows", "about"),
    [
        ([], "calls of ('plant', 'GA'): 1 on the chain, None recorded"),
        ([PLANTED, PLANTED], "calls of ('plant', 'GA'): 1 on the chain, 2 recorded"),
        (
            [PLANTED | {"amount": 6}],
            "figures of ('plant', 'GA', 7): (5, 30) on the chain, (6, 30) recorded",
        ),
        (
            [PLANTED | {"block_index": 8}],
            "figures of ('plant', 'GA', 8): None on the chain, (5, 30) recorded",
        ),
    ],
)
def test_records_and_chain_that_differ(rows: list[dict[str, Any]], about: str) -> None:
    assert about in difference(chain(), *rows)


def test_balances_follow_from_the_records() -> None:
    """Not from the chain, whose balances they are compared with."""
    rows = cast(Any, [PLANTED, HARVESTED, PLANTED | {"block_index": 8, "amount": 3}])
    assert after_farming(rows, {FARMER: 95, OTHER: 105}) == {FARMER: 132, OTHER: 105}


async def test_a_secret_in_what_was_written_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_arguments: object) -> list[str]:
        return []

    async def search_all(_stack: object) -> Search:
        return Search(canaries=1, files=1, size=1, leaks=["master key in run.log"])

    for name in ("_outlive_envelopes", "_money", "payment_differences"):
        monkeypatch.setattr(closing, name, nothing)
    monkeypatch.setattr(closing, "search_all", search_all)
    arena = SimpleNamespace(
        world=SimpleNamespace(stack=None, rpc_url=""),
        witness=SimpleNamespace(catch_up=nothing, calls=[], payments=[], fees=[], view=ChainView()),
        records=SimpleNamespace(many=nothing),
        cap=1,
    )
    assert await closing.closing_check(cast(Any, arena), []) == ["master key in run.log"]


async def test_an_end_that_cannot_be_judged_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_arguments: object) -> list[str]:
        raise ValueError("a pail is gone without a harvest")

    monkeypatch.setattr(run, "closing_check", fail)
    (line,) = await run._closed(cast(Any, None), [])
    assert line == "the end cannot be judged: ValueError: a pail is gone without a harvest"
