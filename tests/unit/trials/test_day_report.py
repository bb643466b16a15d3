"""What a day of blocks leaves behind."""

import json
from pathlib import Path

import pytest

from tests.support.results import ORIGIN
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
