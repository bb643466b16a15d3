"""What `kalepool login` asks for and shows, and what an owner account changes by its login."""

import json
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2, login_pb2

from cli.main import USAGE
from tests.support.recorder import Recorder, run

SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"
ENDS = Timestamp(seconds=1_800_000_000)


def asked(recorder: Recorder) -> Message:
    """The one request of a command."""
    ((_, request),) = recorder.calls
    return request


async def test_the_text_to_sign_stands_alone_and_the_challenge_beside_it(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = login_pb2.StartLoginResponse(transaction="AAAA", text="KALE pool\nI log in.")
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("login", "draft", "G1") == 0
    out, err = capsys.readouterr()
    assert out == "KALE pool\nI log in.\n"
    assert "kalepool login finish --signature BASE64 --transaction AAAA" in err
    assert asked(recorder) == login_pb2.StartLoginRequest(account="G1")
    assert await run("login", "draft", "G1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["transaction"] == "AAAA"


@pytest.mark.parametrize(("options", "signature"), [(("--signature", "AAAA"), bytes(3)), ((), b"")])
async def test_the_token_stands_alone_for_a_file(
    recorder: Recorder,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    signature: bytes,
) -> None:
    reply = login_pb2.FinishLoginResponse(token="a.b.c", account="G1", ends_at=ENDS)
    recorder.answer = lambda _: reply.SerializeToString()
    assert await run("login", "finish", "--transaction", "AAAA", *options) == 0
    out, err = capsys.readouterr()
    assert out == "a.b.c\n"
    assert "G1 is logged in until 2027-01-15T08:00:00+00:00" in err
    assert asked(recorder) == login_pb2.FinishLoginRequest(transaction="AAAA", signature=signature)


async def test_a_signature_that_is_no_base64_is_told(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("login", "finish", "--transaction", "AAAA", "--signature", "!") == USAGE
    assert "--signature: must be base64" in capsys.readouterr().err
    assert not recorder.calls


async def test_farmers_are_listed_by_their_owner_account(recorder: Recorder) -> None:
    options = ("--pooler", SOMEBODY, "--owner-account", "G1", "--limit", "7")
    assert await run("farmer", "list", *options) == 0
    assert asked(recorder) == registry_pb2.ListFarmersRequest(
        pooler_id=SOMEBODY, owner_account="G1", page_size=7
    )


# Terms -------------------------------------------------------------------------------------------

IN_FORCE = agreement_pb2.AgreedTerms(
    stake_percentage="0.5",
    pooler_fee="0.05",
    miners_part="0.2",
    payout_threshold=10_000_000,
    payout_interval_seconds=60,
    harvest_blocks=3,
    terms_version=2,
    terms_digest=b"\x01" * 32,
)


def agreements(*states: Any) -> agreement_pb2.ListAgreementsResponse:
    """Agreements with these states, of which one in force has the terms above."""
    is_in_force = agreement_pb2.AGREEMENT_STATE_IN_FORCE
    return agreement_pb2.ListAgreementsResponse(
        agreements=[
            agreement_pb2.Agreement(state=one, terms=IN_FORCE if one == is_in_force else None)
            for one in states
        ]
    )


async def changed(recorder: Recorder, *options: str) -> agreement_pb2.AgreedTerms:
    """The terms that a command asks for which names no version and no fee."""
    known = agreements(
        agreement_pb2.AGREEMENT_STATE_TO_COME,
        agreement_pb2.AGREEMENT_STATE_IN_FORCE,
        agreement_pb2.AGREEMENT_STATE_PAST,
    ).SerializeToString()
    recorder.answer = lambda request: (
        known if isinstance(request, agreement_pb2.ListAgreementsRequest) else b""
    )
    assert await run("agreement", "set", SOMEBODY, *options) == 0
    request = recorder.calls[-1][1]
    assert isinstance(request, agreement_pb2.SetAgreementRequest)
    assert request.farmer_id == SOMEBODY
    return request.terms


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (("--payout-threshold", "2.5"), {"payout_threshold": 25_000_000}),
        (("--payout-threshold", "0"), {"payout_threshold": 0}),
        (("--payout-interval", "0"), {"payout_interval_seconds": 0}),
        (("--payout-interval", "90"), {"payout_interval_seconds": 90}),
        (("--stake-percentage", "0.1"), {"stake_percentage": "0.1"}),
    ],
)
async def test_what_is_not_given_stays_as_it_is_in_force(
    recorder: Recorder, options: tuple[str, ...], changes: dict[str, Any]
) -> None:
    wanted = agreement_pb2.AgreedTerms()
    wanted.CopyFrom(IN_FORCE)
    for name, value in changes.items():
        setattr(wanted, name, value)
    assert await changed(recorder, *options) == wanted


async def test_where_nothing_is_in_force_all_has_to_be_said(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    known = agreements(agreement_pb2.AGREEMENT_STATE_TO_COME).SerializeToString()
    recorder.answer = lambda _: known
    assert await run("agreement", "set", SOMEBODY, "--payout-threshold", "1") == USAGE
    assert "nothing is in force" in capsys.readouterr().err
