"""A farmer's page for its owner: what it sees, and the forms by which it acts."""

import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.harvest.v1 import ledger_pb2, payout_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2, withdrawal_pb2

from libs.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from tests.integration.gateway.test_gateway_pages import HTML, NOW, answers, sign_in
from tests.support.fake_backends import (
    ACCOUNT,
    FARMER,
    OPERATOR_TOKEN,
    OWNER_TOKEN,
    POOLER,
    POOLER_TOKEN,
)
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.owner_pages import (
    OTHER,
    PATH,
    SIGNATURE,
    hidden,
    owner_answers,
    send,
    shown,
    terms,
)
from tests.support.pages import checked, text_of


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    """A gateway before services that know a farmer with an owner account."""
    async with open_gateway_world(tmp_path) as world:
        answers(world.pool)
        world.pool.answers |= owner_answers()
        yield world


# What is seen ---------------------------------------------------------------------------------


async def test_an_owner_sees_what_was_agreed_and_where_its_money_goes(site: GatewayWorld) -> None:
    page = await shown(site)
    found, told = checked(page), text_of(page)
    assert (found.wrong, found.open) == ([], [])
    assert len(found.ids) == len(set(found.ids))
    assert "3 to come 2026-11-30 01:00 7 % 2.5 % 50 % 2.5 2 h 1" in told
    assert "2 in force 2026-11-30 01:00 5 % 2.5 % 50 % 2.5 2 h 1" in told
    assert "99 %" not in told
    assert f"Paid to {OTHER}" in told
    assert f"Owner account {ACCOUNT}" in told
    assert "Announced" not in told
    assert "2026-11-30 01:00 harvest 6 2 cdcd…cdcd" in told
    assert 'href="/blocks/6"' in page
    assert f"/farmers/{FARMER}/statements/" in page
    asked = site.pool.asked("ListJournals")[-1]
    assert (asked.request.farmer_id, asked.identity) == (
        FARMER,
        f"spiffe://kalepool/owner/{ACCOUNT}",
    )
    assert site.pool.asked("GetTerms")[-1].request.pooler_id == POOLER


async def test_an_owners_forms_begin_with_what_is_agreed(site: GatewayWorld) -> None:
    page = await shown(site)
    told = text_of(page)
    assert 'name="threshold"' in page
    assert 'value="2.5"' in page
    assert re.search(r'name="interval"[^>]* value="2"', page)
    assert "<option selected>hours</option>" in page
    assert "Version 2" in told
    assert "We &lt;i&gt;mine&lt;/i&gt;." in told
    assert hidden(page, "version") == "2"
    assert "Objection" not in told


@pytest.mark.parametrize("token", [OPERATOR_TOKEN, POOLER_TOKEN])
async def test_others_whom_it_concerns_see_it_without_forms(site: GatewayWorld, token: str) -> None:
    page = await shown(site, token)
    assert "2 in force" in text_of(page)
    assert '<form class="act"' not in page


async def test_whom_it_does_not_concern_sees_what_everybody_does(site: GatewayWorld) -> None:
    def refuse(_: object) -> Any:
        raise PermissionDeniedError("not yours", reason="NOT_YOURS")

    site.pool.answers["GetFarmer"] = refuse
    page = await shown(site)
    assert "Agreement" not in text_of(page)
    assert not site.pool.asked("ListAgreements")
    assert "Earned" in text_of(page)


async def test_another_account_than_the_owner_gets_no_forms(site: GatewayWorld) -> None:
    site.pool.answers["GetOwnerAccount"] = lambda _: agreement_pb2.GetOwnerAccountResponse(
        owner_account=OTHER
    )
    assert '<form class="act"' not in await shown(site)


async def test_without_an_agreement_there_is_nothing_to_schedule(site: GatewayWorld) -> None:
    def none(_: object) -> Any:
        raise NotFoundError("no terms", reason="TERMS_NOT_FOUND")

    site.pool.answers |= {
        "ListAgreements": lambda _: agreement_pb2.ListAgreementsResponse(),
        "GetTerms": none,
        "ListJournals": lambda _: ledger_pb2.ListJournalsResponse(),
    }
    page = await shown(site)
    told = text_of(page)
    assert "no fees are taken" in told
    assert "When you ask for it: nothing was agreed." in told
    assert "Nothing was booked so far." in told
    assert 'name="threshold"' not in page
    assert "Terms that your pooler offers" not in told
    answer = await send(site, "schedule", page, threshold="1")
    assert (answer.status_code, site.pool.asked("SetAgreement")) == (400, [])
    assert "this farmer is paid when it asks" in text_of(answer.text)


async def test_what_operators_announce_can_be_objected_to(site: GatewayWorld) -> None:
    coming = Timestamp(seconds=NOW + 3600)
    site.pool.answers |= {
        "GetPayoutAddress": lambda _: withdrawal_pb2.GetPayoutAddressResponse(
            pending_address=OTHER, pending_effective_at=coming
        ),
        "GetOwnerAccount": lambda _: agreement_pb2.GetOwnerAccountResponse(
            owner_account=ACCOUNT, pending_owner_account=OTHER, pending_effective_at=coming
        ),
    }
    told = text_of(await shown(site))
    assert "Paid to nobody yet" in told
    assert f"Announced: paid to {OTHER} from 2026-11-30 02:00:00 UTC" in told
    assert f"Announced: owner account {OTHER} from 2026-11-30 02:00:00 UTC" in told
    assert "Objection" in told


@pytest.mark.parametrize(
    ("waits", "words"),
    [
        ({"reason": "UNPAID", "message": "2 KALE are not paid"}, "It waits: 2 KALE are not paid"),
        ({"reason": "ACCOUNT_BUSY"}, "It waits: account busy"),
    ],
)
async def test_how_far_a_farmer_is_that_leaves(
    site: GatewayWorld, waits: dict[str, str], words: str
) -> None:
    assert "Leave the pool" in text_of(await shown(site))
    farmer = registry_pb2.Farmer(
        farmer_id=FARMER, pooler_id=POOLER, waits_for=registry_pb2.LeavingWait(**waits)
    )
    farmer.leaving_since.FromSeconds(NOW)
    site.pool.answers["GetFarmer"] = lambda _: registry_pb2.GetFarmerResponse(farmer=farmer)
    page = await shown(site)
    assert (checked(page).wrong, checked(page).open) == ([], [])
    assert "This farmer leaves since 2026-11-30 01:00:00 UTC" in text_of(page)
    assert words in text_of(page)
    assert "Leave the pool" not in text_of(page)


async def test_a_farmer_that_is_gone_has_no_forms(site: GatewayWorld) -> None:
    farmer = registry_pb2.Farmer(
        farmer_id=FARMER, pooler_id=POOLER, status=registry_pb2.FARMER_STATUS_DEPARTED
    )
    site.pool.answers["GetFarmer"] = lambda _: registry_pb2.GetFarmerResponse(farmer=farmer)
    page = await shown(site)
    assert "This farmer has left the pool." in text_of(page)
    assert '<form class="act"' not in page
    assert "2026-11-30 01:00 harvest 6" in text_of(page)


async def test_what_a_service_does_not_tell_is_said_to_be_missing(site: GatewayWorld) -> None:
    def away(_: object) -> Any:
        raise UnavailableError("away")

    names = ("GetFarmer", "ListAgreements", "GetPayoutAddress", "GetOwnerAccount", "ListJournals")
    site.pool.answers |= dict.fromkeys(names, away)
    await sign_in(site, OWNER_TOKEN)
    answer = await site.get(PATH, token=None)
    assert answer.status_code == 200
    assert text_of(answer.text).count("Not to be had just now") == 4
    assert '<form class="act"' not in answer.text


# Being paid ------------------------------------------------------------------------------------


async def test_an_owner_is_paid_now(site: GatewayWorld) -> None:
    page = await shown(site)
    name = hidden(page, "request_id")
    answer = await send(site, "pay", page, request_id=name, amount=" 1.5 ")
    told = text_of(answer.text)
    assert answer.status_code == 200
    assert (checked(answer.text).wrong, checked(answer.text).scripts) == ([], 0)
    assert f"1.5 KALE were paid to {OTHER}." in told
    assert "ab" * 32 in told
    (call,) = site.pool.asked("PayNow")
    assert (call.request.farmer_id, call.request.request_id) == (FARMER, name)
    assert (call.request.amount, call.identity.endswith(f"/owner/{ACCOUNT}")) == (15_000_000, True)
    # The same form names the same payout; another view of the page names another one.
    await send(site, "pay", page, request_id=name, amount="1.5")
    assert site.pool.asked("PayNow")[-1].request == call.request
    assert hidden(await shown(site), "request_id") != name


async def test_without_an_amount_all_is_paid(site: GatewayWorld) -> None:
    page = await shown(site)
    answer = await send(site, "pay", page, request_id="x", amount="")
    assert "7 KALE were paid" in text_of(answer.text)
    assert not site.pool.asked("PayNow")[-1].request.HasField("amount")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (payout_pb2.PAYOUT_STATE_OPEN, "7 KALE are on their way."),
        (payout_pb2.PAYOUT_STATE_REFUSED, "Nothing was paid: memo required"),
        (payout_pb2.PAYOUT_STATE_FAILED, "Nothing was paid: memo required"),
    ],
)
async def test_what_became_of_a_payout_is_told(site: GatewayWorld, state: Any, words: str) -> None:
    item = payout_pb2.PayoutItem(amount=70_000_000, state=state, reason="MEMO_REQUIRED")
    site.pool.answers["PayNow"] = lambda _: payout_pb2.PayNowResponse(payout=item)
    answer = await send(site, "pay", await shown(site), request_id="x")
    assert words in text_of(answer.text)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("1,5", "amount must be a decimal number"),
        ("-1", "amount must be a decimal number"),
        ("999999999999", "amount is more KALE than there can be"),
    ],
)
async def test_an_amount_that_is_none_is_named(site: GatewayWorld, amount: str, words: str) -> None:
    answer = await send(site, "pay", await shown(site), request_id="x", amount=amount)
    assert (answer.status_code, site.pool.asked("PayNow")) == (400, [])
    assert words in text_of(answer.text)
    assert f'href="{PATH}">Back' in answer.text


async def test_why_nothing_is_paid_is_said_in_words(site: GatewayWorld) -> None:
    def off(_: object) -> Any:
        raise FailedPreconditionError("payouts are switched off", reason="PAYOUTS_OFF")

    site.pool.answers["PayNow"] = off
    answer = await send(site, "pay", await shown(site), request_id="x")
    assert answer.status_code == 400
    assert "payouts are switched off" in text_of(answer.text)


async def test_an_owner_says_when_it_is_paid(site: GatewayWorld) -> None:
    page = await shown(site)
    form = {"threshold": "12.5", "interval": "3", "unit": "days"}
    answer = await send(site, "schedule", page, **form)
    told = text_of(answer.text)
    assert (answer.status_code, checked(answer.text).wrong) == (200, [])
    assert "counts from 2026-11-30 01:00:00 UTC on" in told
    assert "Paid from 12.5 KALE" in told
    assert "Paid every 3 d" in told
    (call,) = site.pool.asked("SetAgreement")
    assert call.request.farmer_id == FARMER
    # All else is what is in force.
    assert call.request.terms == terms(
        payout_threshold=125_000_000, payout_interval_seconds=259_200
    )


async def test_an_empty_schedule_is_none(site: GatewayWorld) -> None:
    page = await shown(site)
    answer = await send(site, "schedule", page, threshold="", interval=" ", unit="days")
    assert "no interval" in text_of(answer.text)
    asked = site.pool.asked("SetAgreement")[-1].request.terms
    assert (asked.HasField("payout_threshold"), asked.payout_threshold) == (True, 0)
    assert (asked.HasField("payout_interval_seconds"), asked.payout_interval_seconds) == (True, 0)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"threshold": "x"}, "threshold must be a decimal number"),
        ({"interval": "1.5", "unit": "days"}, "interval must be a whole number"),
        ({"interval": "5", "unit": "weeks"}, "unit must be one of days, hours, minutes, seconds"),
        ({"interval": "366", "unit": "days"}, "interval must be a year at most"),
    ],
)
async def test_a_schedule_that_is_none_is_named(
    site: GatewayWorld, form: dict[str, str], words: str
) -> None:
    answer = await send(site, "schedule", await shown(site), **form)
    assert (answer.status_code, site.pool.asked("SetAgreement")) == (400, [])
    assert words in text_of(answer.text)


# What is signed ----------------------------------------------------------------------------------


async def test_the_text_of_a_wish_is_shown_before_anything_happens(site: GatewayWorld) -> None:
    await sign_in(site, OWNER_TOKEN)
    answer = await site.get(f"{PATH}/wish?wish=payout-address&address=+{OTHER}+", token=None)
    found = checked(answer.text)
    assert (answer.status_code, found.wrong, found.open, found.scripts) == (200, [], [], 1)
    assert 'readonly rows="3" spellcheck="false">KALE pool\nPay me out' in answer.text
    assert "&lt;b&gt;Numbers&lt;/b&gt;: 1</textarea>" in answer.text
    assert f'data-account="{ACCOUNT}"' in answer.text
    assert (hidden(answer.text, "wish"), hidden(answer.text, "address").strip()) == (
        "payout-address",
        OTHER,
    )
    (call,) = site.pool.asked("DraftWish")
    assert call.request == agreement_pb2.DraftWishRequest(
        farmer_id=FARMER, wish=agreement_pb2.Wish(payout_address=OTHER)
    )
    assert not site.pool.asked("SignWish")


@pytest.mark.parametrize(
    ("form", "wish"),
    [
        ({"wish": "payout-address", "address": ""}, agreement_pb2.Wish(payout_address="")),
        ({"wish": "owner-account", "account": OTHER}, agreement_pb2.Wish(owner_account=OTHER)),
        ({"wish": "objection"}, agreement_pb2.Wish(objection=True)),
        ({"wish": "leave"}, agreement_pb2.Wish(leave=True)),
        (
            {"wish": "terms", "version": "2"},
            agreement_pb2.Wish(
                terms=agreement_pb2.TermsWish(
                    terms=agreement_pb2.AgreedTerms(
                        stake_percentage="1",
                        pooler_fee="0.04",
                        miners_part="0.1",
                        payout_threshold=10_000_000,
                        payout_interval_seconds=86_400,
                        harvest_blocks=2,
                        terms_version=2,
                        terms_digest=b"e" * 32,
                    )
                )
            ),
        ),
    ],
)
@pytest.mark.parametrize("written", ["base64", "hex"])
async def test_what_was_signed_is_done(
    site: GatewayWorld, form: dict[str, str], wish: agreement_pb2.Wish, written: str
) -> None:
    page = await shown(site)
    said = SIGNATURE.hex() if written == "hex" else base64.b64encode(SIGNATURE).decode()
    answer = await send(site, "wish", page, **form, signature=f" {said}\n")
    assert answer.status_code == 200
    assert "it is done, and counts from 2026-11-30 01:00:00 UTC on" in text_of(answer.text)
    (call,) = site.pool.asked("SignWish")
    assert call.request == agreement_pb2.SignWishRequest(
        farmer_id=FARMER, wish=wish, signature=SIGNATURE
    )
    if wish.HasField("terms"):
        asked = site.pool.asked("GetTerms")[-1].request
        assert (asked.pooler_id, asked.version) == (POOLER, 2)


async def test_what_counts_at_once_has_no_moment(site: GatewayWorld) -> None:
    site.pool.answers["SignWish"] = lambda _: agreement_pb2.SignWishResponse()
    said = base64.b64encode(SIGNATURE).decode()
    answer = await send(site, "wish", await shown(site), wish="objection", signature=said)
    assert "Your signature counts: it is done." in text_of(answer.text)


async def test_a_signature_by_another_key_changes_nothing_and_is_explained(
    site: GatewayWorld,
) -> None:
    def wrong(_: object) -> Any:
        raise PermissionDeniedError("not signed", reason="SIGNATURE_WRONG")

    site.pool.answers["SignWish"] = wrong
    said = base64.b64encode(SIGNATURE).decode()
    form = {"wish": "owner-account", "account": OTHER, "signature": said}
    answer = await send(site, "wish", await shown(site), **form)
    assert answer.status_code == 403
    assert f"{ACCOUNT} has not signed this text. Nothing was changed." in text_of(answer.text)
    # The text as it is now, to be signed once more.
    assert "KALE pool\nPay me out" in answer.text
    assert hidden(answer.text, "account") == OTHER


async def test_other_refusals_of_a_wish_are_told(site: GatewayWorld) -> None:
    def suspended(_: object) -> Any:
        raise PermissionDeniedError("not as it stands", reason="ACCESS_DENIED")

    site.pool.answers["SignWish"] = suspended
    said = base64.b64encode(SIGNATURE).decode()
    answer = await send(site, "wish", await shown(site), wish="objection", signature=said)
    assert (answer.status_code, "not as it stands" in answer.text) == (403, True)


@pytest.mark.parametrize("signature", ["", "abc", "!!!!", "00" * 63, "YWJj"])
async def test_what_is_no_signature_is_named(site: GatewayWorld, signature: str) -> None:
    page = await shown(site)
    answer = await send(site, "wish", page, wish="objection", signature=signature)
    assert (answer.status_code, site.pool.asked("SignWish")) == (400, [])
    assert "signature must be 64 bytes in base64" in text_of(answer.text)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "wish must be one of payout-address, terms, owner-account, objection, leave"),
        ("wish=other", "wish must be one of"),
        ("wish=terms", "version must be the number of a version"),
        ("wish=terms&version=0", "version must be the number of a version"),
        ("wish=terms&version=9999999999", "version must be the number of a version"),
        ("wish=terms&wish=terms", "has a field twice"),
    ],
)
async def test_a_wish_that_is_none_is_named(site: GatewayWorld, query: str, words: str) -> None:
    await sign_in(site, OWNER_TOKEN)
    answer = await site.get(f"{PATH}/wish?{query}", token=None, headers=HTML)
    assert (answer.status_code, words in text_of(answer.text)) == (400, True)
    assert not site.pool.asked("DraftWish")


async def test_what_wallet_says_of_a_wish_is_told(site: GatewayWorld) -> None:
    def refuse(_: object) -> Any:
        raise InvalidArgumentError.of("payout_address", "must be an account (G...)")

    site.pool.answers["DraftWish"] = refuse
    await sign_in(site, OWNER_TOKEN)
    answer = await site.get(f"{PATH}/wish?wish=payout-address&address=x", token=None)
    assert answer.status_code == 400
    assert "must be an account (G...)" in text_of(answer.text)
