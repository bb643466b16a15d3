"""What people read while a pooler runs."""

import json
from uuid import UUID

import pytest

from client import BatchSummary, FarmerOutcome, SweepSummary
from libs.common.ids import FarmerId, PoolerId
from pooler.events import (
    Deciding,
    Event,
    Mining,
    Planted,
    Registered,
    SatOut,
    Swept,
    Trouble,
    Waiting,
)
from pooler.report import TextReport, describe, write_json
from pooler.strategies.choice import StrategyNames


def outcome(reason: str) -> FarmerOutcome:
    """One farmer's part."""
    return FarmerOutcome(
        farmer_id=FarmerId(UUID(int=1)),
        address="",
        succeeded=reason == "UNSPECIFIED",
        reason=reason,
        amount=5,
    )


SUMMARY = BatchSummary(
    block_index=7,
    requested=4,
    succeeded=1,
    amount=12_345_678,
    milliseconds=90,
    outcomes=tuple(map(outcome, ("UNSPECIFIED", "NOT_FUNDED", "EXPIRED", "EXPIRED"))),
)


def mining(seconds: float) -> Mining:
    """A search of a minute."""
    return Mining(
        block_index=7,
        seconds=seconds,
        budget=60,
        hashes=4_000_000,
        rates={"llvm": 1.5e6, "python": 0.5e6},
        zeros={3: 2, 4: 1},
        is_over=seconds == 50,
    )


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            Planted(summary=SUMMARY),
            "block 7: planted 1 of 4, 1.2345678 KALE staked, 90 ms"
            " (failed: 2 EXPIRED, 1 NOT_FUNDED)",
        ),
        (
            mining(2),
            "block 7: mined 2 of 60 s, 4,000,000 hashes (2.0 million a second);"
            " zeros: 2 with 3, 1 with 4",
        ),
        (Waiting(what="rain"), "waiting for rain"),
        (
            Deciding(strategies=StrategyNames(works="second-work", stake="mine:half")),
            "strategies: stake mine:half, zeros cap, send late, works second-work, harvests each,"
            " gate profitable",
        ),
        (
            SatOut(block_index=7, farmers=2, of=3, fees=39_937),
            "block 7: 2 of 3 farmers sit out: their fees, 0.0039937 XLM each, are worth more than"
            " their rewards",
        ),
        (
            Registered(pooler_id=PoolerId(UUID(int=0)), farmers=3, funded=2),
            "pooler 00000000-0000-0000-0000-000000000000: 2 of 3 farmers funded",
        ),
        (
            Swept(summary=SweepSummary(blocks=(SUMMARY,), total_rewards=1, still_pending=2)),
            "swept 1 blocks: 0.0000001 KALE earned, 2 still pending",
        ),
        (
            Trouble(what="Plant", error="UNAVAILABLE: away", retry_in=0.25),
            "Plant failed: UNAVAILABLE: away; again in 0.2 s",
        ),
        (Trouble(what="mine", error="-9", retry_in=None), "mine failed: -9; given up"),
    ],
)
def test_each_event_is_one_line(event: Event, line: str) -> None:
    assert describe(event) == line


def test_strategies_are_told_to_programs_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    write_json(Deciding(strategies=StrategyNames(send="share")))
    told = json.loads(capsys.readouterr().out)
    assert told["event"] == "deciding"
    assert told["strategies"]["send"] == "share"
    assert told["strategies"]["gate"] == "profitable"


def test_a_search_is_told_at_its_begin_and_end_and_not_in_between(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = TextReport()
    for seconds in (0, 1, 2, 50):
        report(mining(seconds))
    told = capsys.readouterr().out.splitlines()
    assert [line.split("mined ")[1].split(" of")[0] for line in told] == ["0", "50"]


def test_only_passing_reasons_are_worth_another_try() -> None:
    again = {one.reason for one in SUMMARY.outcomes if one.worth_another_try}
    assert again == {"EXPIRED"}
