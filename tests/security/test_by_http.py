"""Attacks on the gateway of a running pool, on a small scale, and what is told of a failed one."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from devstack.stack import open_stack
from trials.report import Output, show
from trials.security.floods import Made
from trials.security.gateway.bodies import Outcome, fault_of
from trials.security.gateway.limits import _judged
from trials.security.gateway.run import GatewayPlan, GatewayResult, attack_gateway
from trials.security.gateway.smuggling import Case, Smuggled
from trials.security.gateway.tables import tables_of
from trials.security.gateway.tokens import NOBODY, Cell
from trials.security.gateway.ways import BROKEN, SILENT, Answer, all_ways
from trials.security.memory import MEBIBYTE, Growth
from trials.security.run import stack_config
from trials.security.strangers import Endured
from trials.security.tokens import KINDS

PLAN = GatewayPlan(requests=1_500, idle=300, connections=60, seed=20_261_129, seconds=2.0)


@pytest.mark.e2e
async def test_nothing_gets_in_falls_or_leaks(tmp_path: Path) -> None:
    async with open_stack(stack_config(tmp_path / "stack")) as stack:
        result = await attack_gateway(stack, PLAN, lambda _: None)
        stack.check()
    assert result.failures == []
    assert len(result.cells) >= len(all_ways()) * (len(KINDS) + 9)
    tally = result.tally()
    assert tally[NOBODY][True] == sum(way.is_public for way in all_ways())
    assert tally["operator"][True] > tally["operator, read-only"][True]
    assert tally["forged"] == tally["revoked"] == tally["ended"] == {False: len(all_ways())}
    assert [one.is_registered for one in result.smuggled if one.case.is_sound] == [True] * 4
    assert len(result.smuggled) > 90
    assert result.hostile.requests == PLAN.requests
    assert any(told.startswith("200") for told in result.hostile.answers)
    assert any(told.startswith("400 INVALID_REQUEST") for told in result.hostile.answers)
    assert all(one.made.most > 0 for one in result.endured)


def answer(status: int, reason: str = "", text: bytes = b"", *headers: str) -> Answer:
    return Answer(status=status, reason=reason, text=text, headers=dict.fromkeys(headers, "1"))


PROBLEM = b'{"requestId": "x", "violations": [{"field": "a"}]}'


@pytest.mark.parametrize(
    ("told", "is_faulty"),
    [
        (answer(200), False),
        (answer(0, SILENT), False),
        (answer(503, "UNAVAILABLE"), False),
        (answer(400, "INVALID_REQUEST", PROBLEM), False),
        (answer(400, "MALFORMED_JSON", b'{"requestId": "x"}'), False),
        (answer(400, "INVALID_REQUEST", b'{"requestId": "x"}'), True),
        (answer(400, "", PROBLEM), True),
        (answer(404, "NO_SUCH_PATH", b"<html>"), True),
        (answer(500, "INTERNAL", PROBLEM), True),
        (answer(0, BROKEN), True),
    ],
)
def test_an_answer_that_no_request_may_cause_is_told(told: Answer, *, is_faulty: bool) -> None:
    assert bool(fault_of(told)) is is_faulty


SOUND = Case(name="a length", sent=b"", is_sound=True)
ODD = Case(name="two lengths", sent=b"")


@pytest.mark.parametrize(
    ("smuggled", "words"),
    [
        (Smuggled(case=SOUND, statuses=[200], is_registered=True), []),
        (Smuggled(case=SOUND, statuses=[400], is_registered=False), ["was answered 400"]),
        (Smuggled(case=ODD, statuses=[], is_registered=False), []),
        (Smuggled(case=ODD, statuses=[400], is_registered=False), []),
        (Smuggled(case=ODD, statuses=[400], is_registered=True), ["smuggled through"]),
        (Smuggled(case=ODD, statuses=[200], is_registered=False), ["answered 200"]),
        (Smuggled(case=ODD, statuses=[500], is_registered=False), ["answered 500"]),
        (
            Smuggled(case=replace(ODD, may_succeed=True), statuses=[200, 400], is_registered=False),
            [],
        ),
    ],
)
def test_a_request_that_got_through_is_told(smuggled: Smuggled, words: list[str]) -> None:
    failures = smuggled.failures
    assert len(failures) == len(words)
    assert all(word in failure for word, failure in zip(words, failures, strict=True))


@pytest.mark.parametrize(
    ("kind", "told", "is_expected"),
    [
        ("operator", answer(200), True),
        ("operator", answer(400, "INVALID_REQUEST"), True),
        ("operator", answer(403, "ACCESS_DENIED"), False),
        ("pooler", answer(403, "ACCESS_DENIED"), True),
        ("pooler", answer(200), False),
        (NOBODY, answer(401, "TOKEN_MISSING"), True),
        (NOBODY, answer(200), False),
        ("forged", answer(401, "TOKEN_UNKNOWN", b"", "www-authenticate"), True),
        ("forged", answer(401, "TOKEN_UNKNOWN"), False),
        ("forged", answer(404, "NOT_FOUND"), False),
    ],
)
def test_who_is_let_in_is_held_against_the_access_table(
    kind: str, told: Answer, *, is_expected: bool
) -> None:
    way = next(one for one in all_ways() if one.name == "GET /v1/poolers")
    assert Cell(way=way, kind=kind, answer=told).is_expected is is_expected


def test_a_limit_that_a_lie_gets_around_is_told() -> None:
    limited = [answer(200)] * 10 + [answer(429, "RATE_LIMITED", b"", "retry-after")] * 20
    assert _judged("requests", limited, wanted=200, most=10) == []
    assert len(_judged("requests", [answer(200)] * 30, wanted=200, most=10)) == 1
    assert len(_judged("requests", [*limited, answer(500)], wanted=200, most=10)) == 1
    assert len(_judged("requests", [*limited, answer(429)], wanted=200, most=10)) == 1


def result(**changes: Any) -> GatewayResult:
    given: dict[str, Any] = {
        "cells": [],
        "smuggled": [Smuggled(case=SOUND, statuses=[200], is_registered=True)],
        "hostile": Outcome(requests=7, answers=Counter({"200": 4, "400 INVALID_REQUEST": 3})),
        "growth": Growth(process="gateway", before=90 * MEBIBYTE, after=91 * MEBIBYTE),
        "endured": [
            Endured(
                name="says nothing",
                made=Made(made=3, closed=1, most=2),
                new=[0.1],
                old=[0.1],
                patience=5,
                failed=0,
                before=0,
                most=0,
                after=0,
            )
        ],
        "faults": [],
        "tokens": [],
    }
    return GatewayResult(**{**given, **changes})


def test_everything_that_is_wrong_counts() -> None:
    assert result().failures == []
    grown = Growth(process="gateway", before=90 * MEBIBYTE, after=190 * MEBIBYTE)
    for changes in (
        {"growth": grown},
        {"faults": ["a token is answered 200 a minute after it was revoked"]},
        {"hostile": Outcome(complaints=["500"])},
        {"smuggled": [Smuggled(case=ODD, statuses=[], is_registered=True)]},
        {"endured": [replace(result().endured[0], failed=1)]},
    ):
        assert len(result(**changes).failures) == 1


def test_what_was_tried_is_shown() -> None:
    console = Console(width=120)
    with console.capture() as said:
        show(console, Output(parts=tables_of(result())))
    text = " ".join(said.get().split())
    assert "7 hostile requests by HTTP" in text
    assert "│ 400 INVALID_REQUEST │ 3 │" in text
    assert "│ a length │ 200 │ yes │" in text
    assert "90.0 to 91.0" in text
