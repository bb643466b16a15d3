"""What makes `python -m trials.security` fail, and what it shows."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from trials.canaries import Search
from trials.report import show
from trials.security.access import columns, rpcs
from trials.security.farming import FARMERS, Farmed
from trials.security.floods import Made
from trials.security.forged import Told
from trials.security.forged_orders import Forged
from trials.security.fuzz import LONG, Outcome
from trials.security.leaving import Abandoned, Tally
from trials.security.memory import MEBIBYTE, Growth
from trials.security.run import FuzzPlan, FuzzResult
from trials.security.sight import Seen
from trials.security.strangers import Endured
from trials.security.tables import output_of
from trials.security.thefts.kinds import Tried
from trials.security.turns import FARMERS as PLANTERS
from trials.security.turns import Payouts, Plants, Waits

WELL = Counter(OK=40, INVALID_ARGUMENT=30, NOT_FOUND=20, DEADLINE_EXCEEDED=10)


def outcome(**by_rpc: Counter[str]) -> Outcome:
    found = {"plant PlantService/Plant": WELL, **by_rpc}
    return Outcome(calls=100 * len(found), by_rpc=found)


ENDURED = Endured(
    name="says nothing",
    made=Made(made=1_900, closed=400, most=1_500),
    new=[0.006, 0.008],
    old=[0.003],
    patience=5,
    failed=0,
    before=90 * MEBIBYTE,
    most=97 * MEBIBYTE,
    after=95 * MEBIBYTE,
)
FORGED = Forged(name="another amount of a withdrawal", who="wallet", answer="TAMPERED")
THEFT = Tried(
    name="a pause that is deleted",
    who="all rights",
    gain="payouts in a pause",
    got=(),
    kale=0,
    xlm=0,
    delayed=0.2,
    stopped="wallet knows the pause by itself",
    noticed=["pause put back"],
)
SEEN = Seen(service="plant", relations=20, rows=1_234, secrets=[])
GOOD = FuzzResult(
    plan=FuzzPlan(requests=100, abandoned=100, seed=1),
    farmed=Farmed(planted=4, worked=4, harvested=FARMERS, withdrawn=FARMERS),
    hostile=outcome(),
    abandoned=Abandoned(
        unary=Tally(left=120, at_once=8, arrived=60, cancelled=20),
        streams=Tally(left=90, at_once=5, arrived=41, cancelled=40),
        unrecorded=Tally(left=30, at_once=2),
    ),
    hostile_growth=[Growth(process="plant", before=90 * MEBIBYTE, after=91 * MEBIBYTE)],
    abandoned_growth=[Growth(process="plant", before=91 * MEBIBYTE, after=91 * MEBIBYTE)],
    rpcs=1,
    breaches=[],
    access={(rpc.path, column): True for rpc in rpcs() for column in columns()},
    intrusions=[],
    waits=Waits(
        ledger=0.5,
        payouts=Payouts(alone=1.0, beside=1.4, wasted=0, untold=0),
        plants=Plants(sound=2.0, locked=2.1, planted=PLANTERS - 1, is_told=True),
    ),
    fallen=[],
    flaws=[Told(flaw="a NUL", statuses={("plant", "GetInfo"): "UNAUTHENTICATED"})],
    endured=[ENDURED],
    search=Search(canaries=92, files=1204, size=47 * MEBIBYTE, leaks=[]),
    forged=[FORGED],
    thefts=[THEFT],
    seen=[SEEN],
)


def with_payouts(**fields: Any) -> FuzzResult:
    waits = replace(GOOD.waits, payouts=replace(GOOD.waits.payouts, **fields))
    return replace(GOOD, waits=waits)


def with_plants(**fields: Any) -> FuzzResult:
    return replace(GOOD, waits=replace(GOOD.waits, plants=replace(GOOD.waits.plants, **fields)))


def test_nothing_wrong_is_no_failure() -> None:
    assert GOOD.failures == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            replace(GOOD, farmed=replace(GOOD.farmed, withdrawn=FARMERS - 1)),
            "not every farmer went all the way",
        ),
        (
            replace(GOOD, abandoned=Abandoned(unary=Tally(left=600, arrived=99))),
            "of 600 calls that were given up only 99 reached a handler",
        ),
        (
            replace(
                GOOD,
                hostile_growth=[Growth(process="work", before=90 * MEBIBYTE, after=107 * MEBIBYTE)],
            ),
            "work grew from 90.0 to 107.0 MiB",
        ),
        (
            replace(GOOD, flaws=[Told(flaw="a NUL", statuses={("plant", "GetInfo"): "OK"})]),
            "a certificate with the flaw 'a NUL' calls GetInfo of plant: OK",
        ),
        (
            replace(GOOD, endured=[replace(ENDURED, failed=3)]),
            "beside connections of the kind 'says nothing' 3 honest calls were not answered",
        ),
        (
            with_payouts(beside=3.1),
            "an honest payout took 3.1 s instead of 1.0 s",
        ),
        (with_payouts(wasted=7), "7 transactions were paid"),
        (with_payouts(untold=3), "3 were not told why"),
        (with_plants(locked=20.0), "a locked account took 20.0 s"),
        (with_plants(planted=5), "5 of 99 farmers were planted"),
        (with_plants(is_told=False), "its true reason"),
        (
            replace(GOOD, forged=[FORGED, replace(FORGED, is_paid=True)]),
            "another amount of a withdrawal, written with the rights of wallet, was carried out",
        ),
        (replace(GOOD, forged=[replace(FORGED, is_done=True)]), "was carried out"),
        (
            replace(GOOD, thefts=[THEFT, replace(THEFT, kale=7)]),
            "a pause that is deleted (all rights) took 7 stroops of KALE",
        ),
        (
            replace(GOOD, seen=[replace(SEEN, secrets=["a seed, hex in wallet.wallets"])]),
            "the role of plant sees a seed, hex in wallet.wallets",
        ),
        (replace(GOOD, fallen=["after farming: work is not SERVING"]), "work is not SERVING"),
        (
            replace(GOOD, search=replace(GOOD.search, leaks=["master key, hex in logs/plant.log"])),
            "master key, hex in logs/plant.log",
        ),
    ],
)
def test_what_is_wrong_is_told(bad: FuzzResult, words: str) -> None:
    (failure,) = bad.failures
    assert words in failure
    console = Console(width=120)
    with console.capture() as said:
        show(console, output_of(bad))
    assert words in said.get()


@pytest.mark.parametrize(
    ("statuses", "is_told"),
    [
        (Counter(OK=80, UNAVAILABLE=20), False),
        (Counter(OK=70, UNAVAILABLE=10, DEADLINE_EXCEEDED=20), True),
        (Counter(INVALID_ARGUMENT=20, NOT_FOUND=80), False),
        (Counter(INVALID_ARGUMENT=10, NOT_FOUND=90), True),
        (Counter(DEADLINE_EXCEEDED=100), True),
        # A few calls tell nothing about a share.
        (Counter(DEADLINE_EXCEEDED=3), False),
        (Counter(DEADLINE_EXCEEDED=4), True),
    ],
)
def test_an_rpc_that_hardly_answers_is_told(statuses: Counter[str], is_told: bool) -> None:
    hostile = outcome(**{"work WorkService/ListWorks": statuses})
    assert [text.partition(":")[0] for text in replace(GOOD, hostile=hostile).failures] == [
        "work WorkService/ListWorks"
    ] * is_told
    # A patient caller had answers: the machine was busy.
    hostile.patient.add("work WorkService/ListWorks")
    assert hostile.silences == []
    hostile = outcome(**dict.fromkeys(LONG, statuses))
    assert hostile.silences == []


def test_what_was_searched_and_given_up_is_shown() -> None:
    console = Console(width=120)
    with console.capture() as said:
        show(console, output_of(GOOD))
    text = " ".join(said.get().split())
    assert "92 forms of secrets looked for in 1,204 files (47.0 MiB)" in text
    assert "│ all │ 240 │ 15 │ 101 │ 60 │" in text
    assert "│ plant │ 20 │ 1,234 │ 0 │" in text
    assert "pause put back" in text
    assert "│ plant PlantService/Plant │ 100 │ 40 │ 30 │ 10.0% │" in text
