"""What receivers got beside what registry recorded: each way to differ is found."""

import base64
import hmac
from dataclasses import replace

import pytest

from devstack.webhook_receiver import Received
from trials.faults.deliveries import Delivery, Hook, compare

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
NOW = 1_767_323_045
BODY = '{"type":"signing.paused"}'
TAKES = Hook(
    id="hook", path="/takes/1", secret=SECRET, ends=frozenset({"delivered"}), is_whole=True
)
SILENT = replace(TAKES, id="silent", path="/slow/1", ends=frozenset({"failed", "cancelled"}))
GONE = replace(SILENT, id="gone", path="/status/410/1", is_whole=False)
SENT = Delivery(hook_id="hook", id="a", state="delivered", attempts=1, ended_at=NOW + 1)


def request(
    hook: Hook, known: str, *, at: float = NOW, body: str = BODY, status: int = 204
) -> Received:
    """A request that is signed as it should be."""
    signed = f"{known}.{NOW}.{body}".encode()
    mac = base64.b64encode(hmac.digest(bytes(32), signed, "sha256")).decode()
    return Received(
        path=hook.path,
        headers={
            "webhook-id": known,
            "webhook-timestamp": str(NOW),
            "webhook-signature": f"v1,{mac}",
        },
        body=body,
        at=at,
        status=status,
    )


def test_what_came_as_it_is_recorded_is_clean() -> None:
    deliveries = [
        SENT,
        replace(SENT, id="b", attempts=2),
        replace(SENT, hook_id="silent", state="failed", attempts=3),
        replace(SENT, hook_id="silent", id="b", state="cancelled", attempts=1),
        replace(SENT, hook_id="gone", state="failed"),
    ]
    received = [
        request(TAKES, "a"),
        request(TAKES, "b", status=0),
        request(TAKES, "b", at=NOW + 0.5),
        *(request(SILENT, "a") for _ in range(3)),
        request(SILENT, "b", at=NOW + 2),
        request(GONE, "a", status=410),
    ]
    found = compare([TAKES, SILENT, GONE], ["a", "b"], deliveries, received)
    assert found.is_clean
    assert (found.asked, found.done) == (2, 2)


@pytest.mark.parametrize("state", ["queued", "sending"])
def test_what_has_no_end_is_open(state: str) -> None:
    found = compare([TAKES], ["a"], [replace(SENT, state=state, ended_at=None)], [])
    assert (found.left_open, found.is_clean) == (1, False)


def test_what_was_not_taken_by_registry_or_not_queued_is_lost() -> None:
    found = compare([TAKES], ["a", None, "b"], [SENT], [request(TAKES, "a")])
    assert (found.lost, found.asked, found.done) == (2, 3, 1)
    # A webhook that was disabled in the middle is owed nothing.
    assert compare([GONE], ["a", "b"], [], []).is_clean


def test_what_is_recorded_as_delivered_and_never_came_is_lost() -> None:
    assert compare([TAKES], ["a"], [SENT], []).lost == 1
    refused = request(TAKES, "a", status=500)
    assert compare([TAKES], ["a"], [SENT], [refused]).lost == 1


def test_what_was_taken_and_is_recorded_otherwise_is_wrong() -> None:
    failed = replace(SENT, state="failed")
    assert compare([TAKES], ["a"], [failed], [request(TAKES, "a")]).wrong == 1


def test_what_was_given_up_though_its_receiver_takes_it_is_counted() -> None:
    failed = replace(SENT, state="failed")
    found = compare([TAKES], ["a"], [failed], [request(TAKES, "a", status=500)])
    assert (found.given_up, found.is_clean) == ({"failed": 1}, False)


def test_more_requests_than_attempts_are_too_many() -> None:
    received = [request(TAKES, "a"), request(TAKES, "a")]
    assert compare([TAKES], ["a"], [SENT], received).doubled == 1
    assert compare([TAKES], ["a"], [replace(SENT, attempts=2)], received).is_clean


def test_what_comes_after_its_end_is_too_much() -> None:
    received = [request(TAKES, "a"), request(TAKES, "a", at=NOW + 60)]
    assert compare([TAKES], ["a"], [replace(SENT, attempts=2)], received).doubled == 1


def test_what_comes_without_a_record_is_too_much() -> None:
    received = [request(TAKES, "a"), request(TAKES, "stray")]
    assert compare([TAKES], ["a"], [SENT], received).doubled == 1


def test_another_signature_and_another_body_are_wrong() -> None:
    forged = replace(request(TAKES, "a"), body="{}")
    assert compare([TAKES], ["a"], [SENT], [forged]).wrong == 1
    told_twice = [request(TAKES, "a"), request(TAKES, "a", body=BODY + " ")]
    assert compare([TAKES], ["a"], [replace(SENT, attempts=2)], told_twice).wrong == 1
