"""What an owner's forms say, and what they begin with."""

import base64
from typing import Any

import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2 as pb

from gateway.auth import Credentials
from gateway.pages.own import desk_of
from gateway.pages.paying import UNITS, in_force, in_units, seconds_of, stroops_of
from gateway.pages.reads import Part
from gateway.pages.show import share
from gateway.pages.signatures import signature_of
from gateway.pages.viewer import Viewer
from libs.common.errors import InvalidArgumentError, UnavailableError

ACCOUNT = "GABXLH7NA4UHS3OQQ34SJZ5CT42LUIR7ZZOIOH35W6BKON5KMZ3NQAOQ"
SIGNATURE = bytes(range(192, 256))
IN_FORCE, TO_COME, PAST = (
    pb.AGREEMENT_STATE_IN_FORCE,
    pb.AGREEMENT_STATE_TO_COME,
    pb.AGREEMENT_STATE_PAST,
)


def viewer(identity: str) -> Viewer:
    credentials = Credentials(identity=identity, access_token="t", ends_at=1.0)
    return Viewer(address="1.2.3.4", credentials=credentials)


def agreements(*states: Any, **terms: Any) -> pb.ListAgreementsResponse:
    made = [
        pb.Agreement(number=len(states) - place, state=state, terms=pb.AgreedTerms(**terms))
        for place, state in enumerate(states)
    ]
    return pb.ListAgreementsResponse(agreements=made)


def offer(version: int) -> Part[registry_pb2.GetTermsResponse]:
    return Part(value=registry_pb2.GetTermsResponse(newest_version=version))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, (0, "days")),
        (1, (1, "seconds")),
        (59, (59, "seconds")),
        (60, (1, "minutes")),
        (61, (61, "seconds")),
        (5_400, (90, "minutes")),
        (7_200, (2, "hours")),
        (86_400, (1, "days")),
        (90_000, (25, "hours")),
        (31_536_000, (365, "days")),
    ],
)
def test_an_interval_is_shown_in_the_largest_unit_that_says_it(
    seconds: int, shown: tuple[int, str]
) -> None:
    assert in_units(seconds) == shown
    number, unit = shown
    assert seconds_of({"interval": str(number), "unit": unit}) == seconds
    assert number * UNITS[unit] == seconds


@pytest.mark.parametrize(
    ("form", "seconds"),
    [
        ({}, 0),
        ({"interval": " "}, 0),
        ({"interval": " 2 ", "unit": "hours"}, 7_200),
        ({"interval": "365", "unit": "days"}, 31_536_000),
        ({"interval": "0", "unit": "days"}, 0),
    ],
)
def test_an_interval_is_read(form: dict[str, str], seconds: int) -> None:
    assert seconds_of(form) == seconds


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"interval": "31536001", "unit": "seconds"}, "interval"),
        ({"interval": "9999999999", "unit": "seconds"}, "interval"),
        ({"interval": "-1", "unit": "days"}, "interval"),
        ({"interval": "²", "unit": "days"}, "interval"),
        ({"interval": "1"}, "unit"),
    ],
)
def test_what_is_no_interval_is_named(form: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        seconds_of(form)
    assert [one.field for one in caught.value.violations] == [field]


def test_an_amount_is_read_in_stroops() -> None:
    assert stroops_of({"amount": " 1.5 "}, "amount") == 15_000_000
    assert stroops_of({"amount": "922337203685.4775807"}, "amount") == 2**63 - 1
    assert stroops_of({"amount": "0"}, "amount") == 0
    assert stroops_of({"amount": " "}, "amount") is None
    assert stroops_of({}, "amount") is None


@pytest.mark.parametrize("text", ["922337203685.4775808", "1e3", "x", "1,000", "0.00000001"])
def test_what_is_no_amount_is_named(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        stroops_of({"threshold": text}, "threshold")
    assert [one.field for one in caught.value.violations] == ["threshold"]


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(SIGNATURE).decode(),
        f" {base64.encodebytes(SIGNATURE).decode()}\r\n",
        SIGNATURE.hex(),
        SIGNATURE.hex().upper(),
    ],
)
def test_a_signature_is_read(text: str) -> None:
    assert signature_of(text) == SIGNATURE


@pytest.mark.parametrize("text", ["", "é", "AAAA", SIGNATURE.hex()[2:], SIGNATURE.hex() + "00"])
def test_what_is_no_signature_is_named(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        signature_of(text)
    assert [one.field for one in caught.value.violations] == ["signature"]


def test_the_agreement_in_force_is_found() -> None:
    found = in_force(agreements(TO_COME, IN_FORCE, PAST))
    assert found is not None
    assert found.number == 2
    assert in_force(agreements(TO_COME, PAST)) is None
    assert in_force(agreements()) is None


def test_forms_begin_with_what_is_agreed() -> None:
    told = agreements(
        IN_FORCE, payout_threshold=25_000_000, payout_interval_seconds=7_200, terms_version=3
    )
    desk = desk_of(Part(value=told), offer(4))
    assert (desk.is_agreed, desk.threshold, desk.interval, desk.unit) == (True, "2.5", "2", "hours")
    assert (desk.newer, desk.units) == (4, ("days", "hours", "minutes", "seconds"))
    assert desk.request_id != desk_of(Part(value=told), offer(4)).request_id


@pytest.mark.parametrize(("newest", "newer"), [(2, 0), (3, 0), (4, 4)])
def test_only_newer_terms_can_be_accepted(newest: int, newer: int) -> None:
    told = agreements(IN_FORCE, terms_version=3)
    assert desk_of(Part(value=told), offer(newest)).newer == newer


def test_forms_begin_empty_where_nothing_is_known() -> None:
    for told in (Part(value=agreements()), Part[Any](error=UnavailableError("away"))):
        desk = desk_of(told, Part(error=UnavailableError("away")))
        assert (desk.is_agreed, desk.threshold, desk.interval, desk.newer) == (False, "", "", 0)


@pytest.mark.parametrize(
    ("threshold", "shown"),
    [(0, ""), (1, "0.0000001"), (10_000_000, "1"), (1_000_000_000, "100"), (12_500_000, "1.25")],
)
def test_a_threshold_is_shown_as_it_is_read(threshold: int, shown: str) -> None:
    desk = desk_of(Part(value=agreements(IN_FORCE, payout_threshold=threshold)), offer(0))
    assert desk.threshold == shown
    assert (stroops_of({"threshold": desk.threshold}, "threshold") or 0) == threshold


@pytest.mark.parametrize(
    ("decimal", "shown"),
    [
        ("0", "0 %"),
        ("1", "100 %"),
        ("0.5", "50 %"),
        ("0.05", "5 %"),
        ("0.025", "2.5 %"),
        ("0.0001", "0.01 %"),
        ("", "–"),
        ("x", "x"),
    ],
)
def test_a_part_is_shown_in_percent(decimal: str, shown: str) -> None:
    assert share(decimal) == shown


def test_an_owner_is_known_by_its_account() -> None:
    owner = viewer(f"spiffe://kalepool/owner/{ACCOUNT}")
    assert (owner.kind, owner.name, owner.home) == ("owner", ACCOUNT, "/me")
    assert owner.owns(ACCOUNT)
    assert not owner.owns("")
    assert not owner.owns(ACCOUNT[:-1])
    assert not viewer(f"spiffe://kalepool/operator/{ACCOUNT}").owns(ACCOUNT)
    assert not viewer(f"spiffe://kalepool/pooler/{ACCOUNT}").owns(ACCOUNT)
    assert not Viewer(address="1.2.3.4").owns("")
    assert viewer("spiffe://kalepool/operator/ann").home == "/operator"
    assert viewer("spiffe://kalepool/pooler/7").home == "/poolers/7"
