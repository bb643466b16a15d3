"""Pages show what happened, to whom it concerns; and plots tell UTC's time, 24 hours a day."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.registry.v1 import notification_pb2
from kalepool.report.v1 import report_pb2

from gateway.pages.show import short
from libs.common.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    PermissionDeniedError,
    PoolError,
    UnavailableError,
)
from scripts.browsing import chromium, open_browser
from tests.integration.gateway.test_gateway_pages import (
    ADDRESS,
    HTML,
    NOW,
    answers,
    sign_in,
)
from tests.support.fake_backends import FARMER, POOLER, POOLER_TOKEN
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.pages import checked, text_of

MADE = notification_pb2.Notification(
    kind=notification_pb2.NOTIFICATION_KIND_PAYOUT_MADE,
    happened_at=Timestamp(seconds=NOW),
    pooler_id=POOLER,
    farmer_id=FARMER,
    facts={"asset": "kale", "amountStroops": "70000000", "destination": "<i>GDEST</i>"},
)
LOW = notification_pb2.Notification(
    kind=notification_pb2.NOTIFICATION_KIND_TREASURY_LOW, happened_at=Timestamp(seconds=NOW)
)
OWN = f"/poolers/{POOLER}"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    """A gateway before services where something has happened."""
    async with open_gateway_world(tmp_path) as world:
        answers(world.pool)
        world.pool.answers["ListNotifications"] = listed
        yield world


def listed(
    request: notification_pb2.ListNotificationsRequest,
) -> notification_pb2.ListNotificationsResponse:
    return notification_pb2.ListNotificationsResponse(
        notifications=[MADE] if request.pooler_id else [LOW, MADE],
        next_page_token="" if request.page_token else "older/+",
    )


def asked(site: GatewayWorld) -> notification_pb2.ListNotificationsRequest:
    """What registry was asked last."""
    request: notification_pb2.ListNotificationsRequest = site.pool.asked("ListNotifications")[
        -1
    ].request
    return request


@pytest.mark.parametrize("path", ["/operator", "/notifications"])
async def test_an_operator_sees_all_that_happened(site: GatewayWorld, path: str) -> None:
    await sign_in(site)
    page = (await site.get(path, token=None)).text
    told = text_of(page)
    assert "2026-11-30 01:00 Treasury low – – –" in told
    assert "Payout made 0190…0001 0190…0002 Amount 7 KALE To &lt;i&gt;GDEST&lt;/i&gt;" in told
    assert f'<td><a href="{OWN}">' in page
    assert f'<td><a href="/farmers/{FARMER}">' in page
    found = checked(page)
    assert (found.wrong, found.open) == ([], [])
    assert asked(site).pooler_id == ""


async def test_poolers_and_farmers_are_told_by_name_and_address(site: GatewayWorld) -> None:
    named = notification_pb2.Notification(pooler_name="north & south", farmer_address=ADDRESS)
    named.MergeFrom(MADE)
    site.pool.answers["ListNotifications"] = lambda _: notification_pb2.ListNotificationsResponse(
        notifications=[named]
    )
    await sign_in(site)
    for path in ("/operator", "/notifications"):
        page = (await site.get(path, token=None)).text
        assert f'<td><a href="{OWN}">north &amp; south</a>' in page
        assert f'<td><a href="/farmers/{ADDRESS}">{short(ADDRESS)}</a>' in page
    page = text_of((await site.get(f"/notifications?pooler_id={POOLER}", token=None)).text)
    assert "What pooler north &amp; south is told" in page


@pytest.mark.parametrize("path", [OWN, "/notifications"])
async def test_a_pooler_sees_what_concerns_it(site: GatewayWorld, path: str) -> None:
    await sign_in(site, POOLER_TOKEN)
    page = (await site.get(path, token=None)).text
    assert "Payout made" in page
    assert "Treasury low" not in page
    assert 'href="/notifications"' in page
    found = checked(page)
    assert (found.wrong, found.open) == ([], [])
    call = site.pool.asked("ListNotifications")[-1]
    assert (call.request.pooler_id, call.identity.endswith(OWN[8:])) == (POOLER, True)


async def test_a_stranger_sees_no_notification_and_none_is_asked_for(site: GatewayWorld) -> None:
    for path in ("/notifications", f"/notifications?pooler_id={POOLER}", "/operator", OWN):
        answer = await site.get(path, token=None, headers=HTML)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?to=%2F")
    for path in ("/", "/blocks", "/login"):
        assert "otifications" not in (await site.get(path, token=None)).text
    assert site.pool.asked("ListNotifications") == []


async def test_notifications_are_listed_a_page_at_a_time(site: GatewayWorld) -> None:
    await sign_in(site)
    first = (await site.get("/notifications", token=None)).text
    assert 'href="/notifications?page=older/%2B"' in first
    assert ">Newest</a>" not in first
    older = (await site.get("/notifications?page=older/%2B", token=None)).text
    assert '<a href="/notifications">Newest</a>' in older
    assert ">Older</a>" not in older
    assert (asked(site).page_token, asked(site).page_size) == ("older/+", 100)


async def test_an_operator_reads_on_what_one_pooler_sees(site: GatewayWorld) -> None:
    await sign_in(site)
    page = (await site.get(OWN, token=None)).text
    assert (asked(site).pooler_id, asked(site).page_size) == (POOLER, 10)
    assert f'href="/notifications?pooler_id={POOLER}"' in page
    page = (await site.get(f"/notifications?pooler_id={POOLER}", token=None)).text
    assert asked(site).pooler_id == POOLER
    assert f'href="/notifications?pooler_id={POOLER}&amp;page=older/%2B"' in page
    older = f"/notifications?pooler_id={POOLER}&page=older/%2B"
    page = (await site.get(older, token=None)).text
    assert f'<a href="/notifications?pooler_id={POOLER}">Newest</a>' in page


async def test_where_nothing_happened_the_pages_say_so(site: GatewayWorld) -> None:
    del site.pool.answers["ListNotifications"]
    await sign_in(site)
    for path in ("/operator", OWN, "/notifications"):
        assert "There are none so far." in text_of((await site.get(path, token=None)).text), path


async def test_what_registry_refuses_is_refused(site: GatewayWorld) -> None:
    await sign_in(site, POOLER_TOKEN)
    for error, status in (
        (PermissionDeniedError("not yours", reason="NOT_YOURS"), 403),
        (InvalidArgumentError.of("pooler_id", "must be a UUID"), 400),
        (InvalidArgumentError.of("page_token", "must be one that was given"), 400),
    ):
        site.pool.answers["ListNotifications"] = raising(error)
        answer = await site.get("/notifications?pooler_id=x", token=None)
        assert answer.status_code == status
    answer = await site.get("/notifications?" + "page=a&" * 30, token=None)
    assert answer.status_code == 400


def raising(error: PoolError) -> Any:
    def answer(_: Any) -> Any:
        raise error

    return answer


REGISTRY = ("ListNotifications", "GetPooler", "ListPoolers", "ListFarmers")


@pytest.mark.parametrize(
    "error", [UnavailableError("registry is away"), DeadlineExceededError("registry is away")]
)
async def test_without_registry_the_rest_of_a_page_is_there(
    site: GatewayWorld, error: PoolError
) -> None:
    site.pool.answers |= dict.fromkeys(REGISTRY, raising(error))
    await sign_in(site)
    operator = await site.get("/operator", token=None)
    assert operator.status_code == 200
    told = text_of(operator.text)
    assert "Newest notifications Not to be had just now: registry is away" in told
    assert "All transactions 2.5 10 25.0 %" in told
    pooler = await site.get(OWN, token=None)
    assert pooler.status_code == 200
    told = text_of(pooler.text)
    assert f"{POOLER} Not to be had just now: registry is away" in told
    assert told.count("Not to be had just now: registry is away") == 3
    assert "Ever 1,234.5678901 KALE" in told
    found = checked(pooler.text)
    assert (found.wrong, found.open) == ([], [])
    answer = await site.get("/notifications", token=None)
    assert answer.status_code in {503, 504}
    assert "registry is away" in text_of(answer.text)


async def test_without_registry_harvest_refuses_anothers_page(site: GatewayWorld) -> None:
    site.pool.answers |= dict.fromkeys(REGISTRY, raising(UnavailableError("registry is away")))
    refused = raising(PermissionDeniedError("not yours", reason="NOT_YOURS"))
    site.pool.answers["GetPoolerSummary"] = refused
    await sign_in(site, POOLER_TOKEN)
    answer = await site.get("/poolers/0190a5f0-0000-7000-8000-00000000000f", token=None)
    assert answer.status_code == 403


@pytest.mark.skipif(chromium() is None, reason="there is no Chromium here")
async def test_plots_tell_utcs_time_24_hours_a_day_wherever_one_looks(site: GatewayWorld) -> None:
    def earnings(step: int, count: int) -> list[report_pb2.Earnings]:
        return [
            report_pb2.Earnings(
                starts_at=Timestamp(seconds=NOW - NOW % step - step * place), rewards=9
            )
            for place in range(count)
        ]

    async def nothing(_: Any) -> AsyncIterator[Any]:
        none: tuple[Any, ...] = ()
        for block in none:
            yield block

    site.pool.answers["WatchBlocks"] = nothing
    site.pool.answers["GetFarmerSummary"] = lambda _: report_pb2.GetFarmerSummaryResponse(
        address=ADDRESS, days=earnings(86_400, 30), hours=earnings(3600, 48)
    )
    async with open_browser() as browser:
        context = await browser.new_context(
            locale="en-US",
            timezone_id="America/New_York",
            viewport={"width": 1200, "height": 900},
        )
        await context.add_init_script(
            "window.written = []; const fill = CanvasRenderingContext2D.prototype.fillText;"
            "CanvasRenderingContext2D.prototype.fillText = function (text, ...place)"
            "{ window.written.push(String(text)); return fill.call(this, text, ...place); };"
        )
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{site.port}/farmers/{ADDRESS}")
        await page.locator("figure .drawn canvas").first.wait_for()
        await page.wait_for_timeout(500)
        written = set(await page.evaluate("window.written"))
        await context.close()
    assert {"12:00", "30 Nov", "29 Nov", "2026"} <= written
    assert [text for text in written if re.search(r"[ap]m$|\d/\d", text)] == []
