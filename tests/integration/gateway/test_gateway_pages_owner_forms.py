"""Forms of owners: who may send them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.common.errors import InvalidArgumentError
from tests.integration.gateway.test_gateway_pages import answers
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.owner_pages import OWN, PATH, hidden, owner_answers, shown
from tests.support.pages import text_of


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    """A gateway before services that know a farmer with an owner account."""
    async with open_gateway_world(tmp_path) as world:
        answers(world.pool)
        world.pool.answers |= owner_answers()
        yield world


FORMS = {"pay": {"request_id": "x"}, "schedule": {"threshold": "1"}, "wish": {"wish": "objection"}}
ACTS = ("PayNow", "SetAgreement", "SignWish")


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
async def test_another_site_changes_nothing(
    site: GatewayWorld, path: str, headers: dict[str, str]
) -> None:
    data = {"proof": hidden(await shown(site), "proof"), **FORMS[path]}
    answer = await site.http.post(f"{PATH}/{path}", data=data, headers=headers)
    assert (answer.status_code, "FOREIGN_FORM" in answer.text) == (403, True)
    assert not [one for name in ACTS for one in site.pool.asked(name)]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("proof", ["", "x"])
async def test_a_form_needs_the_proof_of_its_session(
    site: GatewayWorld, path: str, proof: str
) -> None:
    await shown(site)
    data = {"proof": proof, **FORMS[path]}
    answer = await site.http.post(f"{PATH}/{path}", data=data, headers=OWN)
    assert (answer.status_code, "FOREIGN_FORM" in answer.text) == (403, True)
    assert not [one for name in ACTS for one in site.pool.asked(name)]


@pytest.mark.parametrize("path", FORMS)
async def test_after_its_session_a_form_changes_nothing_and_says_so(
    site: GatewayWorld, path: str
) -> None:
    page = await shown(site)
    data = {"proof": hidden(page, "proof"), **FORMS[path]}
    site.http.cookies.clear()
    answer = await site.http.post(f"{PATH}/{path}", data=data, headers=OWN)
    told = text_of(answer.text)
    assert answer.status_code == 401
    assert "your session has ended" in told
    assert "Nothing was changed. Sign in , and send the form again." in told
    assert not [one for name in ACTS for one in site.pool.asked(name)]


async def test_what_is_no_id_of_a_farmer_is_not_there(site: GatewayWorld) -> None:
    def refuse(_: object) -> Any:
        raise InvalidArgumentError.of("farmer_id", "must be a UUID")

    site.pool.answers["DraftWish"] = refuse
    await shown(site)
    answer = await site.get("/farmers/nobody/wish?wish=objection", token=None)
    assert answer.status_code == 404
