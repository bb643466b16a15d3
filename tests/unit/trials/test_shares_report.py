"""The reports of the work for miners: tables for people, and JSON for programs."""

import json
from collections import Counter

import pytest

from trials.machine import Origin
from trials.report import as_json, as_markdown
from trials.shares.hostile import HostileResult
from trials.shares.kills import KillResult
from trials.shares.tables import report_of_attack, report_of_kills

ORIGIN = Origin(
    date="2026-11-30",
    commit="cafe",
    cpu="a CPU",
    cores=2,
    memory_gib=24.0,
    system="Linux x86_64",
    python="3.11.7",
    postgres="",
)


def test_an_attack_is_told_status_by_status() -> None:
    result = HostileResult(
        requests=3,
        statuses=Counter({200: 2, 0: 1}),
        acknowledged=5,
        credited=6,
        refused=Counter({"DUPLICATE": 1}),
    )
    report = report_of_attack(result, ORIGIN)
    told = json.loads(as_json(report))
    assert told["statuses"] == {"200": 2, "0": 1}
    assert told["refused"] == {"DUPLICATE": 1}
    assert report.passed
    page = as_markdown(report)
    assert "answered by 200 | 2" in page
    assert "answered by closing | 1" in page


@pytest.mark.parametrize(("problems", "word"), [([], "no share twice"), (["one twice"], "FAILED")])
def test_kills_are_told_with_what_is_wrong(problems: list[str], word: str) -> None:
    result = KillResult(kills=2, sent=9, acknowledged=7, credited=8, problems=problems)
    report = report_of_kills(result, ORIGIN)
    assert json.loads(as_json(report))["credited"] == 8
    assert report.passed == (not problems)
    assert word in as_markdown(report)
