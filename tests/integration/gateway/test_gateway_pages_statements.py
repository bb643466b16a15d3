"""The page of a statement, and its files: whole, sound, and for those who may see them."""

import csv
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.harvest.v1 import miner_pb2, statement_pb2
from kalepool.report.v1 import report_pb2

from gateway.pages.statement import months_of
from libs.common.errors import NotFoundError, PermissionDeniedError
from libs.kale.statements.checking import check
from libs.kale.statements.owners import OwnerKind
from tests.support.fake_backends import FARMER, POOLER, POOLER_TOKEN
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.pages import checked, text_of
from tests.support.statements import copied, pool_of, pool_of_fees

ADDRESS = "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7"
HTML = {"Accept": "text/html,application/xhtml+xml"}
OWN = {"Sec-Fetch-Site": "same-origin"}
PATH = f"/farmers/{FARMER}/statements/2026-01"
FEES = f"/poolers/{POOLER}"
MINER_PAGE = f"{FEES}/miners/{ADDRESS}"
#: Lines on a page of the service.
_PAGE = 10


def _answer(request: statement_pb2.GetStatementRequest) -> statement_pb2.GetStatementResponse:
    if request.month != "2026-01":
        raise NotFoundError("no day of the month is closed", reason="STATEMENT_NOT_READY")
    if (request.farmer_id or FARMER) != FARMER:
        raise PermissionDeniedError("farmer_id names what is not yours", reason="NOT_YOURS")
    pool = pool_of()
    if request.pooler_id:
        kind = OwnerKind.MINER if request.miner_address else OwnerKind.POOLER
        pool = pool_of_fees(kind)
    document = copied(pool.document())
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


@pytest.mark.parametrize(
    ("path", "kind", "parts"),
    [
        (FEES, OwnerKind.POOLER, ["Its miners’", "Paid out", "harvest 3 miner:earned 0.000006"]),
        (MINER_PAGE, OwnerKind.MINER, ["Paid at", "miner credit 3 miner:earned 0.000009"]),
    ],
)
async def test_a_pooler_sees_its_own_statement_and_those_of_its_miners(
    site: GatewayWorld, path: str, kind: OwnerKind, parts: list[str]
) -> None:
    answer = await site.get(f"{path}/statements/2026-01", token=None, headers=HTML)
    found, told = checked(answer.text), text_of(answer.text)
    assert (found.wrong, found.open) == ([], [])
    assert all(part in told for part in parts), told
    assert f'href="{path}/statements/2026-01/statement.csv"' in answer.text
    file = await site.get(f"{path}/statements/2026-01/statement.json", token=None)
    verdict = check(file.text)
    assert verdict.findings == []
    assert verdict.file is not None
    assert verdict.file.statement.owner.kind is kind
    tax = await site.get(f"{path}/statements/2026-01/tax.csv", token=None)
    assert "income" in tax.text
    site.http.cookies.clear()
    answer = await site.get(f"{path}/statements/2026-01", token=None)
    assert answer.headers["location"].startswith("/login")


async def test_a_miners_page_has_its_credits_and_months(site: GatewayWorld) -> None:
    site.pool.answers["GetMinerCredits"] = lambda _: miner_pb2.GetMinerCreditsResponse(
        miner_id="the-id",
        unpaid=30_000_000,
        credits=[miner_pb2.MinerCredit(block_index=7, amount=20_000_000, pot=50_000_000)],
    )
    answer = await site.get(MINER_PAGE, token=None, headers=HTML)
    found, told = checked(answer.text), text_of(answer.text)
    assert (found.wrong, found.open) == ([], [])
    assert "Not paid yet 3 KALE" in told
    assert "7 2 5" in told
    month = f"{datetime.now(UTC):%Y-%m}"
    assert f'href="{MINER_PAGE}/statements/{month}"' in answer.text


async def test_a_file_that_is_too_long_is_refused_before_it_is_read(site: GatewayWorld) -> None:
    asked: list[str] = []

    def answer(request: statement_pb2.GetStatementRequest) -> statement_pb2.GetStatementResponse:
        asked.append(request.page_token)
        totals = [statement_pb2.StatementTotal(kind="harvest", lines=50_000) for _ in range(2)]
        totals[0].lines += request.pooler_id != POOLER
        return statement_pb2.GetStatementResponse(
            statement=statement_pb2.Statement(totals=totals), next_page_token="more"
        )

    site.pool.answers["GetStatement"] = answer
    told = await site.get(f"{PATH}/statement.json", token=None)
    assert told.status_code == 400
    assert "take a statement of a day" in told.text
    assert asked == [""]


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
