"""Goals, ratios, and the three files of a result."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.support.results import ORIGIN
from trials.bench.authenticators import authenticator_seconds
from trials.bench.chain import Limits, Usage
from trials.bench.fewest import Fewest
from trials.bench.goals import goals_of, goals_of_authenticators, goals_of_processes
from trials.bench.phases import LedgerBar, PhaseResult
from trials.bench.results import BenchResult, CarrierRun
from trials.bench.tables import all_goals, report_of
from trials.report import write
from trials.world import Carrier


def phase(name: str, *, ledgers: list[int], fee: int, cpu: float = 0.5) -> PhaseResult:
    count = sum(ledgers)
    return PhaseResult(
        name=name,
        requested=count,
        succeeded=count,
        failures={},
        on_chain=count,
        first_ledger=100,
        ledgers_used=len(ledgers),
        fewest=Fewest(ledgers=6, bound_by="write_bytes", per_ledger=180),
        ledgers=[
            LedgerBar(ledger=100 + number, operations=operations, transactions=operations)
            for number, operations in enumerate(ledgers)
        ],
        transactions=count,
        failed_transactions=0,
        most_in_one=1,
        fee_total=fee * count,
        fee_dearest=fee,
        wall_seconds=30.0,
        cpu_seconds=cpu * count / 1000,
        peak_mib=100.0,
    )


def run(
    carrier: Carrier = Carrier.SINGLE, *, fee: int = 15_000, staked: bool = False
) -> CarrierRun:
    plants = [180, 180, 180, 180, 180, 100]
    return CarrierRun(
        carrier=carrier,
        farmers=1000,
        wallets=1,
        ledger_seconds=5.0,
        network_as_measured=True,
        limits=Limits(ledger=Usage(write_bytes=286_720), clusters=2),
        phases=[phase(name, ledgers=plants, fee=fee) for name in ("plant", "work", "harvest")],
        staked=staked,
    )


def limited(one: CarrierRun, *, wallets: int, seconds: float) -> CarrierRun:
    """The same by so many wallet processes with a fifth of a core each, phases this long."""
    phases = [replace(item, wall_seconds=seconds) for item in one.phases]
    return replace(
        one, wallets=wallets, phases=phases, network_as_measured=False, staked=True, cpu_share=0.2
    )


def missed(one: CarrierRun) -> list[str]:
    return [goal.name for goal in goals_of(one) if not goal.met]


def test_a_good_run_meets_every_goal() -> None:
    assert missed(run()) == []


def test_each_goal_can_be_missed() -> None:
    dear = run(fee=15_334)
    assert missed(dear) == ["single without stake: XLM per farmer and block"]
    multicall = "multicall without stake: XLM per farmer and block"
    assert missed(run(Carrier.MULTICALL)) == [multicall]
    one = run()
    slow = replace(one.phases[0], ledgers_used=8, cpu_seconds=1.2, succeeded=999)
    assert missed(replace(one, phases=[slow, *one.phases[1:]])) == [
        "single without stake, plant: operations that did not succeed",
        "single without stake, plant: difference between wallet and chain",
        "single without stake, plant: ledgers (6 at best)",
        "single without stake, plant: CPU of the wallet per operation",
    ]


def test_a_stake_has_its_price() -> None:
    """The goal is what a block without stakes costs; with stakes it is reported beside that."""
    runs = [run(fee=17_000, staked=True), run()]
    assert [missed(one) for one in runs] == [[], []]
    result = BenchResult(origin=ORIGIN, command="", runs=runs, unlimited=[])
    (ratio,) = result.ratios()
    assert (ratio.name, ratio.left, ratio.right) == (
        "XLM of a block, single, with stake / without",
        51_000,
        45_000,
    )


def test_authenticators_take_a_small_part_of_an_operation() -> None:
    one = run()
    cheap, dear = (replace(one.phases[0], cpu_seconds=seconds) for seconds in (0.25, 0.75))
    # Of 1,000 operations each; those of a multicall share codes, so they do not count.
    runs = [replace(one, phases=[cheap, dear]), run(Carrier.MULTICALL)]
    for seconds, part, is_met in ((14.9e-6, 3.0, True), (15.6e-6, 3.1, False)):
        result = BenchResult(
            origin=ORIGIN, command="", runs=runs, unlimited=[], authenticator_seconds=seconds
        )
        (goal,) = goals_of_authenticators(result)
        assert (goal.figure, goal.met) == (part, is_met)
        assert goal in all_goals(result)
    none = BenchResult(origin=ORIGIN, command="", runs=[], unlimited=[])
    assert goals_of_authenticators(none) == []


def test_the_cost_of_authenticators_is_measured() -> None:
    assert 0 < authenticator_seconds() < 10


def test_processes_are_compared_where_the_wallet_is_the_limit() -> None:
    free = [run(), replace(run(), wallets=2)]
    one = limited(run(), wallets=1, seconds=10)
    for seconds, expected in ((7.5, True), (7.6, False)):
        two = limited(run(), wallets=2, seconds=seconds)
        (goal,) = goals_of_processes([*free, one, two])
        assert goal.met is expected
    assert goals_of_processes(free) == []
    assert goals_of_processes([one]) == []


def test_files(tmp_path: Path) -> None:
    result = BenchResult(
        origin=ORIGIN,
        command="python -m trials.bench run",
        runs=[run(staked=True), run(Carrier.MULTICALL, fee=10_000, staked=True)],
        unlimited=[
            run(),
            replace(run(), wallets=2),
            limited(run(), wallets=1, seconds=10),
            limited(run(), wallets=2, seconds=7),
        ],
    )
    paths = {path.name: path for path in write(report_of(result), tmp_path)}
    assert paths["bench.json"].parent.name == "2026-11-24-0123456789"
    content = json.loads(paths["bench.json"].read_text(encoding="utf-8"))
    assert content["origin"]["cpu"] == "a CPU"
    assert {goal["met"] for goal in content["goals"]} == {True}
    ratios = {item["name"]: item["ratio"] for item in content["ratios"]}
    assert ratios["XLM of plant, single / multicall"] == 1.5
    assert ratios["seconds of work, one wallet process / two"] == 1.0
    assert ratios["seconds of all phases, one wallet process / two with 20% of a core each"] > 1.4
    page = paths["bench.md"].read_text(encoding="utf-8")
    assert "| plant | 1000 of 1000 | 6 (6: write_bytes) | 180 180 180 180 180 100 |" in page
    assert "Each wallet process may use 20% of a core" in page
    picture = ET.fromstring(paths["bench.svg"].read_text(encoding="utf-8"))  # noqa: S314
    bars = [item for item in picture.iter() if "fill" in item.attrib and "y" in item.attrib]
    assert len(bars) == 3 + 2 * 3 * 6, "legend, and each ledger of each phase of each run"
