"""What the command makes of answers: what came of an order, and what is not so yet."""

import json

import pytest
from google.protobuf.message import Message
from kalepool.common.v1 import common_pb2
from kalepool.harvest.v1 import harvest_pb2
from kalepool.registry.v1 import notification_pb2
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2

from cli import webhook
from cli.main import REFUSED
from tests.support.recorder import Recorder, run

SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"
OTHER = "0190a5f0-0000-7000-8000-000000000002"


async def test_a_payout_address_that_does_not_count_yet_is_told_with_the_one_that_does(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = "G" + "A" * 55, "G" + "B" * 55
    known = withdrawal_pb2.GetPayoutAddressResponse(address=first)

    def answer(request: Message) -> bytes:
        is_look = isinstance(request, withdrawal_pb2.GetPayoutAddressRequest)
        return known.SerializeToString() if is_look else b""

    recorder.answer = answer
    line = ("farmer", "update", SOMEBODY, "--payout-wallet-address", second)
    assert await run(*line) == 0
    assert "withdrawals go to" not in capsys.readouterr().err
    known.pending_address = second
    known.pending_effective_at.FromSeconds(1_767_225_600)
    assert await run(*line) == 0
    assert (
        f"withdrawals go to {first} until 2026-01-01 00:00:00 UTC, and to {second} from then on"
        in capsys.readouterr().err
    )


class Deliveries:
    """Registry's answers about a test: its delivery ends at a later look."""

    def __init__(self, *states: notification_pb2.DeliveryState.ValueType) -> None:
        self.states = list(states)

    def __call__(self, request: Message) -> bytes:
        """Answer a request."""
        if isinstance(request, notification_pb2.TestWebhookRequest):
            return notification_pb2.TestWebhookResponse(notification_id=OTHER).SerializeToString()
        state = self.states.pop(0)
        ours = notification_pb2.Delivery(state=state, attempts=1, last_error="it answered 500")
        ours.notification.notification_id = OTHER
        if not self.states:
            ours.ended_at.FromSeconds(1_767_225_600)
        other = notification_pb2.Delivery(state=notification_pb2.DELIVERY_STATE_FAILED)
        reply = notification_pb2.ListDeliveriesResponse(deliveries=[other, ours])
        return reply.SerializeToString()


async def test_a_test_of_a_webhook_waits_for_what_comes_of_it(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(webhook, "_LOOK", 0.01)
    waits = [notification_pb2.DELIVERY_STATE_QUEUED, notification_pb2.DELIVERY_STATE_SENDING]
    recorder.answer = Deliveries(*waits, notification_pb2.DELIVERY_STATE_DELIVERED)
    assert await run("webhook", "test", SOMEBODY) == 0
    assert "delivered" in capsys.readouterr().out
    recorder.answer = Deliveries(*waits, notification_pb2.DELIVERY_STATE_FAILED)
    assert await run("webhook", "test", SOMEBODY, "--json") == REFUSED
    output, errors = capsys.readouterr()
    assert json.loads(output)["state"] == "DELIVERY_STATE_FAILED"
    assert "TEST_NOT_DELIVERED: the test did not arrive: it answered 500" in errors


async def test_a_test_of_a_webhook_that_takes_too_long_is_left_to_its_list(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(webhook, "_PATIENCE", -1.0)
    queued = notification_pb2.DELIVERY_STATE_QUEUED
    recorder.answer = Deliveries(queued, queued)
    assert await run("webhook", "test", SOMEBODY) == 0
    output, errors = capsys.readouterr()
    assert "queued" in output
    assert "kalepool webhook deliveries tells what came of it" in errors


async def test_what_answers_nothing_or_lists_nothing_says_so(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    for line, said in (
        (f"webhook delete {SOMEBODY}", "kalepool: deleted\n"),
        (f"pooler heartbeat {SOMEBODY}", "kalepool: done\n"),
        ("pooler list", "kalepool: there are none\n"),
    ):
        assert await run(*line.split()) == 0
        output, errors = capsys.readouterr()
        assert ("\n\n" in output, output == "\n", errors) == (False, False, said), line


@pytest.mark.parametrize(
    "line", [f"harvest --pooler {SOMEBODY} --block 7 --json", "harvest-pending --json"]
)
async def test_a_harvest_that_finds_nothing_says_why(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert await run(*line.split()) == 0
    assert "the pool's own sweep, once a minute, was faster" in capsys.readouterr().err
    reply = harvest_pb2.HarvestResponse(block_index=7, total_eligible=1)
    swept = harvest_pb2.HarvestPendingResponse(blocks=[reply])
    recorder.answer = lambda asked: (
        reply if isinstance(asked, harvest_pb2.HarvestRequest) else swept
    ).SerializeToString()
    assert await run(*line.split()) == 0
    assert capsys.readouterr().err == ""


async def test_a_revoked_token_is_told_to_be_taken_for_a_while(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("token", "revoke", SOMEBODY) == 0
    assert "a minute more" in capsys.readouterr().err


async def test_a_withdrawal_that_failed_is_no_success(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = wallet_pb2.Operation(
        state=wallet_pb2.OPERATION_STATE_FAILED,
        reason=common_pb2.FAILURE_REASON_INSUFFICIENT_BALANCE,
    )
    reply = withdrawal_pb2.WithdrawResponse(withdrawal=withdrawal_pb2.Withdrawal(operation=failed))
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("withdrawal", "send", SOMEBODY, "--amount", "5", "--json") == REFUSED
    output, errors = capsys.readouterr()
    assert json.loads(output)["operation"]["reason"] == "FAILURE_REASON_INSUFFICIENT_BALANCE"
    assert "INSUFFICIENT_BALANCE: " in errors
    assert await run("withdrawal", "send", SOMEBODY, "--amount", "5") == REFUSED
    output, errors = capsys.readouterr()
    assert (output, errors.count("\n")) == ("", 1)
    assert "nothing has left (kalepool withdrawal show )" in errors
