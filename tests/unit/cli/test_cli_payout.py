"""What `kalepool payout` asks for and shows, and with which exit status."""

import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.harvest.v1 import payout_pb2

from cli.main import REFUSED, USAGE
from tests.support.recorder import Recorder, run

SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"


async def test_a_preview_says_what_a_run_would_pay_and_leave(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    due = payout_pb2.PayoutPreview(
        kind=payout_pb2.PAYEE_KIND_FARMER,
        payee_id=SOMEBODY,
        amount=25_000_000,
        fees=5_000_000,
        cause=payout_pb2.PAYOUT_CAUSE_THRESHOLD,
    )
    left = payout_pb2.PendingSum(
        reason=payout_pb2.PENDING_REASON_INTERVAL, amounts=3, total=90_000_000
    )
    reply = payout_pb2.GetPayoutPreviewResponse(
        total=25_000_000, needs_approval=True, payments=1, due=[due], left=[left]
    )
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("payout", "preview") == 0
    out, err = capsys.readouterr()
    assert "2.5000000 KALE" in out and "0.5000000 KALE" in out and "9.0000000 KALE" in out
    assert "1 payments, 2.5000000 KALE in total" in err
    assert "second operator" in err
    assert await run("payout", "preview", "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"] == "25000000"


@pytest.mark.parametrize(("failed", "status"), [(0, 0), (2, REFUSED)])
async def test_a_run_of_which_something_failed_ends_with_1(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], failed: int, status: int
) -> None:
    reply = payout_pb2.RunPayoutsResponse(
        run=payout_pb2.PayoutRun(run_id=SOMEBODY, items=3, paid=3 - failed, failed=failed)
    )
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("payout", "run", "--max-amount", "12.5") == status
    ((_, asked),) = recorder.calls
    assert isinstance(asked, payout_pb2.RunPayoutsRequest)
    assert asked.max_amount == 125_000_000
    assert (f"kalepool payout list --run {SOMEBODY}" in capsys.readouterr().err) is bool(failed)


async def test_a_payout_that_was_refused_says_why(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    paid = payout_pb2.PayoutItem(
        state=payout_pb2.PAYOUT_STATE_REFUSED, reason="MEMO_REQUIRED", message="it wants a memo"
    )
    recorder.answer = lambda _: payout_pb2.PayNowResponse(payout=paid).SerializeToString()
    assert await run("payout", "now", SOMEBODY) == REFUSED
    assert "it wants a memo" in capsys.readouterr().err
    asked = recorder.calls[-1][1]
    assert isinstance(asked, payout_pb2.PayNowRequest)
    assert not asked.HasField("amount")


async def test_what_waits_is_listed_with_reason_and_time(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = payout_pb2.PendingAmount(
        kind=payout_pb2.PAYEE_KIND_MINER,
        payee_id=SOMEBODY,
        amount=10_000_000,
        reason=payout_pb2.PENDING_REASON_NOT_COLLECTED,
        since=Timestamp(seconds=1_796_000_400),
    )
    reply = payout_pb2.ListPendingResponse(amounts=[waits])
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("payout", "pending", "--farmer", SOMEBODY) == 0
    out = capsys.readouterr().out
    assert "not_collected" in out and "2026-11-30" in out


async def test_nothing_is_switched_without_a_reason_or_by_looking(recorder: Recorder) -> None:
    recorder.answer = lambda _: b""
    assert await run("payout", "switch", "off") == USAGE
    assert await run("payout", "switch") == 0
    (called,) = [method for method, _ in recorder.calls]
    assert called.endswith("/GetPayoutSwitch")


@pytest.mark.parametrize("amount", ["0", "-1", "1.23456789", "much"])
async def test_wrong_amounts_are_told(recorder: Recorder, amount: str) -> None:
    assert await run("payout", "run", f"--max-amount={amount}") == USAGE
    assert not recorder.calls
