"""/login/stellar: an owner signs in by its account."""

import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import login_pb2

from libs.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnauthenticatedError,
    UnavailableError,
)
from tests.integration.gateway.test_gateway_pages import (
    ADDRESS,
    HTML,
    NOW,
    OWN,
    answers,
    sign_in,
)
from tests.support.fake_backends import (
    ACCOUNT,
    DOMAIN,
    FARMER,
    OPERATOR_TOKEN,
    OWNER_TOKEN,
    POOLER_TOKEN,
)
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.pages import checked, text_of

PATH = "/login/stellar"
TEXT = "KALE pool\nLog in.\n<b>"
LIFE = 900


def challenge(request: login_pb2.StartLoginRequest) -> login_pb2.StartLoginResponse:
    return login_pb2.StartLoginResponse(
        transaction="AAAA+challenge/",
        network_passphrase="A <net>",
        text=TEXT,
        ends_at=Timestamp(seconds=NOW),
    )


def finished(_: login_pb2.FinishLoginRequest) -> login_pb2.FinishLoginResponse:
    return login_pb2.FinishLoginResponse(
        token=OWNER_TOKEN,
        account=ACCOUNT,
        subject=f"spiffe://{DOMAIN}/owner/{ACCOUNT}",
        ends_at=Timestamp(seconds=int(time.time()) + LIFE),
    )


def farmers(request: registry_pb2.ListFarmersRequest) -> registry_pb2.ListFarmersResponse:
    if request.page_token:
        return registry_pb2.ListFarmersResponse()
    farmer = registry_pb2.Farmer(
        farmer_id=FARMER, custodial_wallet=ADDRESS, stake_percentage="0.25", current_balance=10**7
    )
    return registry_pb2.ListFarmersResponse(farmers=[farmer], next_page_token="next/+")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    """A gateway before a wallet by which accounts log in."""
    async with open_gateway_world(tmp_path) as world:
        answers(world.pool)
        world.pool.answers |= {
            "StartLogin": challenge,
            "FinishLogin": finished,
            "ListFarmers": farmers,
        }
        yield world


async def send(site: GatewayWorld, **form: str) -> httpx.Response:
    """Send a form of the page; the client has the cookie from then on."""
    answer = await site.http.post(PATH, data=form, headers=OWN)
    site.http.cookies.update(answer.cookies)
    return answer


async def test_the_form_for_tokens_leads_to_the_one_for_accounts(site: GatewayWorld) -> None:
    page = await site.get("/login?to=/me", token=None)
    assert checked(page.text).scripts == 0
    assert 'href="/login/stellar?to=/me"' in page.text
    back = await site.get(f"{PATH}?to=/me", token=None)
    assert checked(back.text).scripts == 1
    assert 'href="/login?to=/me"' in back.text
    assert 'name="to" value="/me"' in back.text
    assert not site.pool.asked("StartLogin")


async def test_an_account_is_shown_what_it_has_to_sign(site: GatewayWorld) -> None:
    answer = await site.get(f"{PATH}?account=+{ACCOUNT}&to=/blocks", token=None, headers=HTML)
    found = checked(answer.text)
    assert (answer.status_code, found.wrong, found.open) == (200, [], [])
    assert len(found.ids) == len(set(found.ids))
    assert 'rows="3" spellcheck="false">KALE pool\nLog in.\n&lt;b&gt;</textarea>' in answer.text
    assert 'name="transaction" value="AAAA+challenge/"' in answer.text
    assert "A &lt;net&gt;" in answer.text
    assert "2026-11-30 01:00:00 UTC" in answer.text
    assert answer.text.count('name="to" value="/blocks"') == 3
    (call,) = site.pool.asked("StartLogin")
    assert call.request == login_pb2.StartLoginRequest(account=ACCOUNT)


async def test_a_signed_transaction_signs_in(site: GatewayWorld) -> None:
    answer = await send(site, transaction=" AAAA\nBBBB ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/me")
    cookie = answer.headers["set-cookie"]
    assert OWNER_TOKEN not in cookie
    # It ends with the token.
    seconds = int(cookie.partition("Max-Age=")[2].partition(";")[0])
    assert LIFE - 5 <= seconds <= LIFE
    (call,) = site.pool.asked("FinishLogin")
    assert call.request == login_pb2.FinishLoginRequest(transaction="AAAABBBB")
    page = await site.get("/me", token=None)
    told = text_of(page.text)
    assert "owner GABX…QAOQ" in told
    assert f"Those for which {ACCOUNT} speaks." in told
    assert f'href="/farmers/{FARMER}"' in page.text
    assert "25 % 1" in told
    asked = site.pool.asked("ListFarmers")[-1].request
    assert (asked.owner_account, asked.pooler_id) == (ACCOUNT, "")
    assert 'href="/me?page=next/%2B"' in page.text
    last = await site.get("/me?page=next", token=None)
    assert "None." in text_of(last.text)
    assert site.pool.asked("ListFarmers")[-1].request.page_token == "next"


async def test_a_signed_text_signs_in_and_leads_back(site: GatewayWorld) -> None:
    said = base64.b64encode(bytes(range(64))).decode()
    answer = await send(site, transaction="AAAA", signature=said, to="/blocks")
    assert (answer.status_code, answer.headers["location"]) == (303, "/blocks")
    (call,) = site.pool.asked("FinishLogin")
    assert call.request.signature == bytes(range(64))


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (UnauthenticatedError("x", reason="LOGIN_REFUSED"), 401, "by another account"),
        (UnauthenticatedError("x", reason="LOGIN_USED"), 401, "with this already"),
        (FailedPreconditionError("x", reason="LOGIN_OFF"), 400, "lets nobody sign in"),
        (InvalidArgumentError.of("transaction", "is none"), 400, "transaction is none"),
    ],
)
async def test_what_is_wrong_is_said_beside_the_form(
    site: GatewayWorld, error: Exception, status: int, words: str
) -> None:
    def refuse(_: object) -> Any:
        raise error

    site.pool.answers |= {"FinishLogin": refuse, "StartLogin": refuse}
    answer = await send(site, transaction="AAAA", to="/me")
    assert (answer.status_code, answer.headers.get("set-cookie")) == (status, None)
    assert words in text_of(answer.text)
    assert 'name="to" value="/me"' in answer.text
    shown = await site.get(f"{PATH}?account={ACCOUNT}", token=None)
    assert (shown.status_code, words in text_of(shown.text)) == (status, True)
    assert f'value="{ACCOUNT}"' in shown.text


async def test_what_is_no_signature_signs_nobody_in(site: GatewayWorld) -> None:
    answer = await send(site, transaction="AAAA", signature="x")
    assert (answer.status_code, site.pool.asked("FinishLogin")) == (400, [])
    assert "signature must be 64 bytes in base64" in text_of(answer.text)


async def test_while_wallet_is_away_the_page_says_so(site: GatewayWorld) -> None:
    def away(_: object) -> Any:
        raise UnavailableError("the chain cannot be read")

    site.pool.answers |= {"FinishLogin": away, "StartLogin": away}
    answer = await send(site, transaction="AAAA")
    assert (answer.status_code, answer.headers.get("set-cookie")) == (503, None)
    assert (await site.get(f"{PATH}?account={ACCOUNT}", token=None)).status_code == 503


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
async def test_another_site_signs_nobody_in(site: GatewayWorld, headers: dict[str, str]) -> None:
    answer = await site.http.post(PATH, data={"transaction": "AAAA"}, headers=headers)
    assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
    assert not site.pool.asked("FinishLogin")


async def test_nobody_is_led_elsewhere(site: GatewayWorld) -> None:
    answer = await send(site, transaction="AAAA", to="//evil.example")
    assert answer.headers["location"] == "/me"


async def test_too_many_fields_are_no_query(site: GatewayWorld) -> None:
    query = "&".join(f"a{index}=1" for index in range(30))
    answer = await site.get(f"{PATH}?account={ACCOUNT}&{query}", token=None)
    assert (answer.status_code, site.pool.asked("StartLogin")) == (200, [])


@pytest.mark.parametrize("token", [OPERATOR_TOKEN, POOLER_TOKEN])
async def test_only_owners_have_farmers_of_their_own(site: GatewayWorld, token: str) -> None:
    await sign_in(site, token)
    assert (await site.get("/me", token=None)).status_code == 403
    assert not site.pool.asked("ListFarmers")


async def test_an_owner_sees_its_farmers_and_no_others_pages(site: GatewayWorld) -> None:
    await sign_in(site, OWNER_TOKEN)
    page = (await site.get("/", token=None)).text
    assert 'href="/me">My farmers' in page
    assert 'href="/payouts"' not in page
    for path in ("/payouts", "/notifications"):
        assert (await site.get(path, token=None)).status_code == 403, path


async def test_who_has_signed_in_is_told_so(site: GatewayWorld) -> None:
    await sign_in(site, OWNER_TOKEN)
    page = await site.get(PATH, token=None)
    assert f"You have signed in as owner {ACCOUNT}." in text_of(page.text)


async def test_after_its_session_an_owner_is_led_back_to_its_farmer(site: GatewayWorld) -> None:
    answer = await site.get(f"/farmers/{FARMER}/wish?wish=objection", token=None)
    assert answer.headers["location"] == f"/login?to=%2Ffarmers%2F{FARMER}"
