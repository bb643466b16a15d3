"""What a day of blocks leaves behind."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from devstack.paying import Receivers
from tests.support.results import ORIGIN
from trials.day.payouts import KINDS, Pace, PaidDay, paid_of
from trials.day.run import DayPlan, DayResult, Hour
from trials.day.tables import report_of
from trials.report import write
from trials.world import Carrier

PLAN = DayPlan(
    farmers=10, blocks=12, ledger_seconds=0.2, carrier=Carrier.MULTICALL, kill_every=5, seed=1
)


def a_day(unharvested: int, *, unworked: int = 0, planted: int = 120) -> DayResult:
    return DayResult(
        origin=ORIGIN,
        plan=PLAN,
        hours=[
            Hour(
                number=1,
                planted=planted,
                worked=119,
                harvested=119,
                killed=("plant",),
                peak_mib={"wallet": 142.6},
            )
        ],
        seconds=150.0,
        compared=358,
        differences=[],
        unworked=unworked,
        unharvested=unharvested,
        paid=PaidDay(made=dict.fromkeys(KINDS, 1)),
    )


@pytest.mark.parametrize("unharvested", [0, 1])
def test_a_day_is_written_for_people_and_for_programs(tmp_path: Path, unharvested: int) -> None:
    read_by_programs, read_by_people = write(
        report_of(a_day(unharvested), "python -m trials.day"), tmp_path
    )
    content = json.loads(read_by_programs.read_text(encoding="utf-8"))
    assert content["passed"] == (unharvested == 0)
    assert content["plan"]["carrier"] == "multicall"
    assert content["hours"][0]["peak_mib"] == {"wallet": 142.6}
    page = read_by_people.read_text(encoding="utf-8")
    assert "358 events, equal to the chain; 120 of 120 planted" in page
    assert f"{unharvested} unharvested" in page
    assert "| 1 | 120 | 119 | 119 | plant | 143 |" in page


def test_a_day_with_lost_stakes_or_without_many_farmers_is_no_good_one() -> None:
    assert a_day(0).passed
    assert not a_day(0, unworked=1).passed
    assert a_day(0, planted=108).passed
    assert not a_day(0, planted=107).passed


def paid_day(**made: int) -> PaidDay:
    return PaidDay(made=made, stroops=25_000_000, given_up={"INSUFFICIENT_BALANCE": 2})


def test_a_day_that_is_an_hour_long_has_payouts_of_each_kind() -> None:
    every = dict.fromkeys(KINDS, 1)
    assert replace(a_day(0), paid=paid_day(**every)).passed
    assert not replace(a_day(0), paid=paid_day(**every | {"sweep": 0})).passed
    shorter = replace(PLAN, blocks=11, farmers=10)
    assert replace(a_day(0), plan=shorter, paid=PaidDay()).passed


def test_payouts_stand_beside_the_hours() -> None:
    day = replace(a_day(0), paid=paid_day(threshold=1200, miner=3))
    (row,) = report_of(day, "").parts[1].rows  # type: ignore[union-attr]
    assert row == ("1,200", "0", "0", "3", "0", "2.5000000", "2 INSUFFICIENT_BALANCE")


def test_payouts_are_counted_by_what_became_of_them() -> None:
    rows = [
        {"what": "sweep", "state": "paid", "reason": "", "payouts": 2, "stroops": 5},
        {"what": "miner", "state": "paid", "reason": "", "payouts": 1, "stroops": 6},
        {"what": "miner", "state": "refused", "reason": "LINE_FULL", "payouts": 3, "stroops": 9},
        {"what": "miner", "state": "open", "reason": "", "payouts": 1, "stroops": 9},
    ]
    found = paid_of(cast(Any, rows), ["a payment"])
    assert found == PaidDay(
        made={"sweep": 2, "miner": 1},
        stroops=11,
        given_up={"LINE_FULL": 3, "open": 1},
        differences=["a payment"],
    )
    assert not found.is_whole


def test_a_long_day_pays_as_much_more_rarely() -> None:
    short = Pace.of(farmers=20, blocks=12, block_seconds=12)
    assert (short.threshold, short.interval, short.sweep) == (2_505_000_000, 48, 250_500_000)
    long = Pace.of(farmers=1000, blocks=288, block_seconds=12)
    assert (long.threshold, long.interval, long.sweep) == (300_600_000, 288, 30_060_000)
    environment = long.environment(Receivers.made(1))["harvest"]
    assert environment["PAYOUT_SWEEP_STROOPS"] == "30060000"
    assert environment["PAYOUT_SECONDS"] == "6.0"
