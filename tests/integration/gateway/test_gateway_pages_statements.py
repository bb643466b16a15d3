"""The page of a statement, and its files: whole, sound, and for those who may see them."""

import csv
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.harvest.v1 import statement_pb2
from kalepool.report.v1 import report_pb2

from gateway.pages.statement import months_of
from libs.common.errors import NotFoundError, PermissionDeniedError
from libs.kale.statements.checking import check
from tests.support.fake_backends import FARMER, POOLER_TOKEN
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.pages import checked, text_of
from tests.support.statements import copied, pool_of

ADDRESS = "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7"
HTML = {"Accept": "text/html,application/xhtml+xml"}
OWN = {"Sec-Fetch-Site": "same-origin"}
PATH = f"/farmers/{FARMER}/statements/2026-01"
#: Lines on a page of the service.
_PAGE = 10


def _answer(request: statement_pb2.GetStatementRequest) -> statement_pb2.GetStatementResponse:
    if request.month != "2026-01":
        raise NotFoundError("no day of the month is closed", reason="STATEMENT_NOT_READY")
    if request.farmer_id != FARMER:
        raise PermissionDeniedError("farmer_id names what is not yours", reason="NOT_YOURS")
    document = copied(pool_of().document())
    first = int(request.page_token or 0)
    rest = document["lines"][first + _PAGE :]
    document["lines"] = document["lines"][first : first + _PAGE]
    if first:
        document["totals"] = []
    return statement_pb2.GetStatementResponse(
        statement=json_format.ParseDict(document, statement_pb2.Statement()),
        next_page_token=str(first + _PAGE) if rest else "",
    )


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    """A gateway before a harvest that has one statement; its pooler has signed in."""
    async with open_gateway_world(tmp_path) as world:
        world.pool.answers |= {
            "GetStatement": _answer,
            "GetFarmerSummary": lambda _: report_pb2.GetFarmerSummaryResponse(
                farmer_id=FARMER, address=ADDRESS, registered_at=Timestamp(seconds=1_796_000_400)
            ),
        }
        form = {"token": POOLER_TOKEN, "to": ""}
        answer = await world.http.post("/login", data=form, headers=OWN)
        world.http.cookies.update(answer.cookies)
        yield world


async def test_a_statement_shows_balances_totals_and_lines(site: GatewayWorld) -> None:
    answer = await site.get(PATH, token=None, headers=HTML)
    found, told = checked(answer.text), text_of(answer.text)
    assert (found.wrong, found.open) == ([], [])
    assert "Statement of 2026-01" in told
    assert "harvest 12 chain:mint -0.0012" in told
    assert "The first lines" in told
    assert "The pool owes" in told
    for name in ("statement.json", "statement.csv", "tax.csv"):
        assert f'href="{PATH}/{name}"' in answer.text
    # By its address, too.
    assert (await site.get(PATH.replace(FARMER, ADDRESS), token=None)).status_code == 200


async def test_the_files_are_whole_and_prove_themselves(site: GatewayWorld) -> None:
    answer = await site.get(f"{PATH}/statement.json", token=None)
    verdict = check(answer.text)
    assert verdict.findings == []
    assert verdict.file is not None
    assert len(verdict.file.lines) == 24
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="kalepool-statement-2026-01.json"'
    )
    assert answer.headers["cache-control"] == "no-store"
    lines = list(
        csv.DictReader((await site.get(f"{PATH}/statement.csv", token=None)).text.split("\n"))
    )
    assert len(lines) == 24
    taxes = list(csv.DictReader((await site.get(f"{PATH}/tax.csv", token=None)).text.split("\n")))
    assert {row["kind"] for row in taxes} == {"income"}
    assert sum(round(float(row["amount_kale"]) * 10**7) for row in taxes) == 12 * 1000


@pytest.mark.parametrize("ending", ["", "/statement.json", "/tax.csv"])
async def test_who_has_not_signed_in_is_led_to_the_form(site: GatewayWorld, ending: str) -> None:
    site.http.cookies.clear()
    answer = await site.get(f"{PATH}{ending}", token=None)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")


async def test_what_is_not_there_or_not_ones_own_is_told_so(site: GatewayWorld) -> None:
    assert (await site.get(PATH.replace("2026-01", "2026-02"), token=None)).status_code == 404
    other = PATH.replace(FARMER, "0190a5f0-0000-7000-8000-00000000000f")
    assert (await site.get(other, token=None)).status_code == 403
    assert (await site.get(f"{other}/statement.json", token=None)).status_code == 403


async def test_a_farmers_page_links_to_its_months_for_who_has_signed_in(
    site: GatewayWorld,
) -> None:
    page = (await site.get(f"/farmers/{ADDRESS}", token=None)).text
    assert f'href="/farmers/{FARMER}/statements/' in page
    site.http.cookies.clear()
    assert "/statements/" not in (await site.get(f"/farmers/{ADDRESS}", token=None)).text


@pytest.mark.parametrize(
    ("since", "months"),
    [
        ((2026, 3, 31), ["2026-03"]),
        ((2025, 12, 1), ["2026-03", "2026-02", "2026-01", "2025-12"]),
        ((2026, 4, 1), []),
    ],
)
def test_months_since_a_registration(since: tuple[int, int, int], months: list[str]) -> None:
    stamp = Timestamp()
    stamp.FromDatetime(datetime(*since))  # noqa: DTZ001  (protobuf takes UTC)
    assert months_of(stamp, datetime(2026, 3, 31, 23, 59, tzinfo=UTC)) == months


def test_of_many_months_the_newest_are_named() -> None:
    found: list[Any] = months_of(Timestamp(), datetime(2026, 3, 1, tzinfo=UTC))
    assert (len(found), found[0], found[-1]) == (12, "2026-03", "2025-04")
