"""Notifications as people read them."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.registry.v1 import notification_pb2 as pb

from gateway.pages import notifications
from gateway.pages.show import moment


def facts_of(**facts: str) -> dict[str, str]:
    return {
        name: str(value) for name, value in notifications.told(pb.Notification(facts=facts)).facts
    }


def test_every_kind_has_words_of_its_own() -> None:
    words = [
        notifications.told(pb.Notification(kind=kind)).words
        for kind in pb.NotificationKind.values()
    ]
    assert len(set(words)) == len(words)
    newer = pb.Notification.FromString(b"\x10\x63")  # kind 99
    assert notifications.told(newer).words == "Something that these pages have no word for"


def test_a_payout_is_told_with_its_amount_and_unit_first() -> None:
    facts = facts_of(
        asset="kale", amountStroops="12345000000", destination="GABC", ledger="77", withdrawalId="w"
    )
    assert list(facts.items()) == [
        ("Amount", "1,234.5 KALE"),
        ("To", "GABC"),
        ("Ledger", "77"),
        ("Withdrawal", "w"),
    ]


def test_moments_amounts_and_scopes_are_those_of_people() -> None:
    stamp = str(moment(Timestamp(seconds=1_796_000_645)))
    for text in ("2026-11-30T01:04:05Z", "2026-11-30T03:04:05+02:00"):
        assert facts_of(lastSeen=text) == {"Last heard of": stamp}
    assert facts_of(xlmStroops="5000000", lowStroops="10000000") == {
        "Balance": "0.5 XLM",
        "Low below": "1 XLM",
    }
    assert facts_of(scope="everything") == {"For": "everybody"}
    assert facts_of(address="") == {"Address": "none"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lastSeen", "yesterday"),
        ("lastSeen", "2026-11-30T01:04:05"),  # of which zone?
        ("effectiveAt", "0001-01-01T00:00:00+14:00"),
        ("amountStroops", "-1"),
        ("amountStroops", "1" * 5000),
        ("lowStroops", "١"),  # a digit, and no number of ours
        ("scope", "moon"),
    ],
)
def test_what_is_not_as_it_should_be_is_shown_as_it_came(name: str, value: str) -> None:
    assert list(facts_of(**{name: value}).values()) == [value]


def test_facts_that_are_newer_follow_under_their_own_names() -> None:
    assert list(facts_of(zebra="1", apple="2", host="node.example")) == ["Node", "apple", "zebra"]
    assert facts_of(asset="xlm") == {"asset": "xlm"}
