"""What `kalepool ledger` shows, and with which exit status."""

import json

import pytest
from kalepool.harvest.v1 import ledger_pb2, miner_pb2

from tests.support.recorder import Recorder, run

SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"
KALE = ledger_pb2.LEDGER_ASSET_KALE


def account(amount: int, owner: str = "") -> ledger_pb2.LedgerAccount:
    """An account of a farmer."""
    return ledger_pb2.LedgerAccount(
        owner_id=owner, role="farmer:available", asset=KALE, amount=amount, entries=3
    )


async def test_a_ledger_that_adds_up_is_no_failure_even_when_accounts_are_below_zero(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = ledger_pb2.CheckLedgerResponse(journals=7, overdrawn=[account(-15_000_000, SOMEBODY)])
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("ledger", "check") == 0
    out, err = capsys.readouterr()
    assert "-1.5" in out and SOMEBODY in out
    assert "KALE from outside" in err


async def test_a_sound_ledger_says_so_in_a_sentence(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    held = ledger_pb2.UnexplainedHolding(farmer_id=SOMEBODY, amount=-20_000_000)
    reply = ledger_pb2.CheckLedgerResponse(
        journals=1_234, entries=5_678, accounts=9, unexplained=[held]
    )
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("ledger", "check") == 0
    out, err = capsys.readouterr()
    assert "the ledger adds up: 1,234 journals with 5,678 entries" in err
    assert "other amounts on the chain" in err
    assert "-2" in out
    recorder.answer = lambda _: b""
    assert await run("ledger", "check") == 0
    assert "nothing was booked yet" in capsys.readouterr().err
    assert await run("ledger", "check", "--json") == 0
    assert capsys.readouterr().err == ""


async def test_a_miners_credits_are_shown(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    credit = miner_pb2.MinerCredit(block_index=41, points=7, pot=30_000_000, amount=15_000_000)
    reply = miner_pb2.GetMinerCreditsResponse(
        unpaid=25_000_000, credits=[credit], next_page_token="more"
    )
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("miner", "credits", SOMEBODY, "G" + "A" * 55, "--limit", "1") == 0
    out, err = capsys.readouterr()
    assert "1.5" in out
    assert "41" in out
    assert "not paid yet: 2.5000000 KALE" in err
    assert "the newest 1 only" in err
    assert await run("miner", "credits", SOMEBODY, "G" + "A" * 55, "--limit", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["unpaid"] == "25000000"


async def test_a_difference_is_listed_and_ends_with_1(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    difference = ledger_pb2.LedgerDifference(
        kind=ledger_pb2.LEDGER_DIFFERENCE_KIND_BALANCE,
        owner_id=SOMEBODY,
        role="farmer:staked",
        asset=KALE,
        kept=10_000_000,
        expected=20_000_000,
    )
    reply = ledger_pb2.CheckLedgerResponse(differences=[difference])
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("ledger", "check") == 1
    assert "farmer:staked" in capsys.readouterr().out
    assert await run("ledger", "check", "--json") == 1
    (told,) = json.loads(capsys.readouterr().out)["differences"]
    assert (told["kept"], told["expected"]) == ("10000000", "20000000")


async def test_a_page_has_a_line_for_each_entry(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = ledger_pb2.Journal(
        journal_id=9,
        kind=ledger_pb2.JOURNAL_KIND_PLANT,
        source_key="some operation",
        block_index=41,
        entries=[
            ledger_pb2.JournalEntry(role="farmer:available", asset=KALE, amount=-25_000_000),
            ledger_pb2.JournalEntry(role="farmer:staked", asset=KALE, amount=25_000_000),
        ],
    )
    reply = ledger_pb2.ListJournalsResponse(accounts=[account(70_000_000)], journals=[journal])
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("ledger", "show", SOMEBODY) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "plant" in line and "some operation" in line]) == 2
    assert any("-2.5" in line for line in lines)
    assert any("farmer:available" in line and " 7" in line for line in lines)
    assert await run("ledger", "show", SOMEBODY, "--json") == 0
    assert json.loads(capsys.readouterr().out)["journals"][0]["journalId"] == "9"


async def test_warnings_are_told(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    reply = ledger_pb2.GetLedgerStatusResponse(warnings=["nothing more is booked: why"])
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("ledger", "status") == 0
    assert "look at this: nothing more is booked: why" in capsys.readouterr().err
