"""The rows of liars: each lie is one that localnet tells, and what it cost is told."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from localnet.ledger.state import Snapshot
from localnet.rpc.faults import Faults
from localnet.rpc.lies.table import Lies
from trials.faults import breakage as b
from trials.faults.__main__ import _chosen, _parser
from trials.faults.arena import Arena
from trials.faults.checker import Findings, Question, check, overpaid
from trials.faults.liars import ALONE, HONEST, LIES, THREE, liar_groups, split
from trials.faults.liars_table import COLUMNS, rows
from trials.faults.run import Cell
from trials.faults.scenarios import PHASES
from trials.faults.witness import Witness
from trials.payments import SeenPayment
from trials.world import WorldConfig

_GROUPS = {group.name: group for group in liar_groups(WorldConfig(farmers=3))}
_EMPTY = Snapshot(sequence=1, close_time=1, records={})


@pytest.mark.parametrize("name", LIES)
def test_localnet_tells_every_lie(name: str) -> None:
    body = dict(LIES[name])
    told = body.pop("lies", None)
    if told is not None:
        Lies().change(told, None)
    Faults().change(body, _EMPTY)
    assert told or body


def test_every_lie_is_told_by_everybody() -> None:
    assert len(LIES) >= 12
    told: dict[str, set[str]] = {}
    for group in _GROUPS.values():
        honest, *scenarios = group.scenarios
        assert honest.name == HONEST
        for row in scenarios:
            lie, position = split(row.name)
            if lie.endswith("then honest"):
                assert row.must_end
                assert not row.excused
                continue
            told.setdefault(lie, set()).add(position)
            assert row.phases == PHASES
            # An honest majority is promised the result while it is lied to; others only afterwards.
            assert row.must_end is not row.excused
            assert row.excused is (position in {"alone", "two of three", "all"})
    five = {"alone", "preferred of three", "last of three", "two of three", "all"}
    assert told == dict.fromkeys(LIES, five)


def test_wallet_never_asks_the_node_that_the_witness_reads() -> None:
    assert _GROUPS[ALONE].config.nodes == (1,)
    assert _GROUPS[THREE].config.nodes == (1, 2, 3)


def test_the_short_run_has_a_part_of_them() -> None:
    groups = {group.name: group for group in _chosen(_parser().parse_args(["run", "--quick"]))}
    assert set(groups) == {"quick", "quick-liars", "quick-payouts"}
    assert len(groups["quick-liars"].scenarios) >= 4
    assert groups["quick-liars"].config.nodes == (1, 2, 3)
    assert not groups["quick"].config.nodes


class Nodes:
    """What an arena does of what is needed here."""

    wallets: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.told: dict[int, Mapping[str, Any]] = {}

    async def misbehave(self, node: int = 0, **faults: Any) -> None:
        self.told[node] = faults

    async def behave(self) -> None:
        self.told.clear()

    async def misdeeds(self, node: int = 0) -> Mapping[str, int]:
        return {"omit": node, "add_ledgers": 10}


async def test_all_who_lie_say_the_same_until_it_is_over() -> None:
    nodes = Nodes()
    async with b.lying((1, 3), {"lies": {"omit": "all"}})(cast(Arena, nodes)) as struck:
        assert nodes.told == {n: {"lies": {"omit": "all"}} for n in (1, 3)}
        assert await struck.so_far() == 1 + 3 + 2 * 10
    assert nodes.told == {}


async def test_a_lie_that_is_over_was_told_all_the_same() -> None:
    nodes = Nodes()
    breakage = b.lied((2,), {"lies": {"add_ledgers": 5}}, seconds=0.05)
    async with breakage(cast(Arena, nodes)) as struck:
        await asyncio.sleep(0.01)
        assert nodes.told == {2: {"lies": {"add_ledgers": 5}}}
        await asyncio.sleep(0.1)
        assert nodes.told == {}
        assert await struck.so_far() == 12


async def test_what_comes_due_has_its_life_again_afterwards() -> None:
    nodes = Nodes()
    async with b.due(code=100)(cast(Arena, nodes)) as struck:
        assert nodes.told == {0: {"lives": {"code": 100}}}
        assert await struck.so_far() == 1
    assert nodes.told == {0: {"lives": {"code": 3_110_399}}}


QUESTION = Question(
    phase="withdraw", block=4, addresses=["GA"], calls_before=0, fees_before=0, cap=1000
)
DONE = {"address": "GA", "state": "succeeded", "amount": 5, "reason": None}


class Records:
    """Answers the one query with what a test gives it."""

    def __init__(self, *found: dict[str, Any]) -> None:
        self._found = list(found)

    async def many(self, _name: str, *_arguments: object) -> list[dict[str, Any]]:
        return self._found


async def judge(times: int, *, excused: bool, **record: Any) -> Findings:
    witness = Witness(cast(Any, None), "")
    witness.payments = [SeenPayment(source="GA", destination="GB", amount=5)] * times
    question = replace(QUESTION, excused=excused)
    return await check(cast(Any, Records({**DONE, **record})), witness, question)


@pytest.mark.parametrize("excused", [True, False])
async def test_what_is_paid_twice_is_never_excused(excused: bool) -> None:
    assert (await judge(1, excused=excused)).is_clean
    twice = await judge(3, excused=excused)
    assert not twice.is_clean
    assert twice.overpaid == 2 * 5
    assert overpaid({"GA": (5, 1), "GB": (5, 4)}) == 15


@pytest.mark.parametrize(
    ("times", "state", "clean"), [(0, "expired", True), (1, "expired", False), (0, "sent", False)]
)
async def test_only_giving_up_is_excused(times: int, state: str, clean: bool) -> None:
    found = await judge(times, excused=True, state=state, reason="EXPIRED")
    assert found.is_clean is clean
    assert not (await judge(times, excused=False, state=state, reason="EXPIRED")).is_clean


def cell(scenario: str, phase: str, seconds: float, **findings: Any) -> Cell:
    return Cell(
        group=THREE,
        scenario=scenario,
        phase=phase,
        seconds=seconds,
        kills=0,
        strikes=2,
        error="",
        findings=Findings(asked=1, done=1, **findings),
    )


def test_what_a_lie_has_cost() -> None:
    cells = [
        *(cell(HONEST, phase, 1.0) for phase in PHASES),
        cell("a fork: all", "plant", 3.5),
        cell("a fork: all", "withdraw", 0.5, overpaid=1000, wrong=1, lost=2),
        replace(cell("sends fail", "plant", 9.0), group="node"),
    ]
    (row,) = rows(cells)
    assert dict(zip(COLUMNS, row, strict=True)) == {
        "lie": "a fork",
        "told by": "all",
        "plant: s lost": "2.5",
        "work: s lost": "-",
        "harvest: s lost": "-",
        "withdraw: s lost": "0.0",
        "overpaid": "1,000",
        "records wrong": "3",
        "given up": "0",
        "lies told": "4",
        "": "FAILED",
    }
