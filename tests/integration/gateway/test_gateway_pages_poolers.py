"""The page of poolers that farmers may choose from: what it shows, and in which order."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.registry.v1 import registry_pb2
from kalepool.report.v1 import report_pb2
from kalepool.wallet.v1 import agreement_pb2

from gateway.pages.poolers import ORDERS
from libs.common.errors import UnavailableError
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.pages import checked, text_of

IDS = [f"0190a5f0-0000-7000-8000-00000000000{number}" for number in range(1, 5)]


def figures(kale: int | None, rate: int | None = None, paid: int = 3) -> report_pb2.PoolerFigures:
    told = report_pb2.PoolerFigures(
        success=report_pb2.Success(
            blocks=288, planted=3, not_planted=1, worked=3, harvested=paid if kale else 0
        ),
        rewards_per_farmer_block=kale,
    )
    if kale is None:
        told.success.Clear()
    if rate is not None:
        told.hash_rate.MergeFrom(report_pb2.HashRate(rate=rate, error=rate // 10, works=100))
    return told


def pooler(number: int, name: str, **changes: Any) -> report_pb2.ListedPooler:
    given: dict[str, Any] = {
        "pooler_id": IDS[number],
        "name": name,
        "terms": registry_pb2.Terms(
            version=3,
            pooler_fee="0.05",
            miners_part="0.6",
            stake_percentage="1",
            payout_threshold=70_000_000,
            payout_interval_seconds=90_000,
            harvest_blocks=7,
            text="Line <one>\nline two",
            published_at=Timestamp(seconds=1_796_000_400),
        ),
        "room": 1234,
        "can_join": True,
        "day": figures(5_000_000, 11_650_000),
        "week": figures(None),
        "month": figures(20_000_000, 2_000),
        **changes,
    }
    return report_pb2.ListedPooler(**given)


def cheap(fee: str) -> registry_pb2.Terms:
    return registry_pb2.Terms(
        version=1, pooler_fee=fee, miners_part="0", stake_percentage="0.125", harvest_blocks=1
    )


POOLERS = [
    pooler(0, "north"),
    pooler(
        1,
        "<b>South</b>",
        terms=cheap("0.1"),
        room=0,
        can_join=False,
        day=figures(7_000_000, 5_000, paid=4),
        month=figures(30_000_000, 2_000, paid=2),
    ),
    pooler(
        2,
        "East",
        terms=cheap("0.0125"),
        room=9,
        can_join=False,
        day=figures(None),
        month=figures(None),
    ),
]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    """A gateway before a pool with three poolers."""
    async with open_gateway_world(tmp_path) as world:
        world.pool.answers |= {
            "ListPublicPoolers": lambda _: report_pb2.ListPublicPoolersResponse(poolers=POOLERS),
            "GetAgreementRules": lambda _: agreement_pb2.GetAgreementRulesResponse(
                operator_fee="0.01", max_fee="0.2"
            ),
        }
        yield world


async def page_of(site: GatewayWorld, query: str = "") -> str:
    answer = await site.get(f"/poolers{query}", token=None)
    assert answer.status_code == 200
    return answer.text


async def order_of(site: GatewayWorld, query: str) -> list[str]:
    rows = re.findall(
        r'<th scope="row"><a href="#pooler-\d">([^<]+)</a>', await page_of(site, query)
    )
    return [name.replace("&lt;b&gt;", "").replace("&lt;/b&gt;", "") for name in rows]


async def test_a_pooler_is_shown_with_its_terms_and_figures(site: GatewayWorld) -> None:
    page = await page_of(site)
    told = text_of(page)
    assert (
        "north 5 % 60 % 100 % from 7 KALE on, after 1 d 1 h at the latest 1,234 by oneself "
        "75.0 % 11.6 MH/s ± 1.1 MH/s 0.5 – – – 75.0 % 2.0 kH/s ± 200 H/s 2" in told
    )
    assert "10 % 0 % 12.5 % whatever there is 0 full" in told
    assert "East 1.25 % 0 % 12.5 % whatever there is 9 ask the pooler" in told
    assert "The operator takes 1 % of each reward" in told
    assert f"Id {IDS[0]}" in told
    assert "Version of its terms 3 published 2026-11-30 01:00:00 UTC" in told
    assert "Blocks that are harvested together 7" in told
    assert "Farmers in blocks, 1 day 4 of 288 blocks" in told
    assert '<p class="said">Line &lt;one&gt;\nline two</p>' in page
    assert "<b>South" not in page
    assert checked(page).wrong == []


async def test_the_figures_are_asked_for_once_and_by_nobodys_name(site: GatewayWorld) -> None:
    await page_of(site)
    await page_of(site, "?sort=name")
    (call,) = site.pool.asked("ListPublicPoolers")
    assert call.identity.endswith("/service/gateway")
    assert call.request.page_size == 1000


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("registered", ["north", "South", "East"]),
        ("name", ["South", "East", "north"]),
        ("fee", ["East", "north", "South"]),
        ("room", ["north", "East", "South"]),
        ("kale-day", ["South", "north", "East"]),
        ("paid-day", ["South", "north", "East"]),
        ("rate-day", ["north", "South", "East"]),
        # Alike: by registration, though the most comes first.
        ("rate-month", ["north", "South", "East"]),
        ("kale-month", ["South", "north", "East"]),
        ("paid-month", ["north", "South", "East"]),
        ("kale-week", ["north", "South", "East"]),
        # What there is not is the usual order.
        ("nothing", ["South", "north", "East"]),
        ("", ["South", "north", "East"]),
    ],
)
async def test_the_query_chooses_the_order(site: GatewayWorld, sort: str, names: list[str]) -> None:
    assert await order_of(site, f"?sort={sort}") == names


async def test_every_column_of_figures_can_be_sorted_and_says_so(site: GatewayWorld) -> None:
    page = await page_of(site, "?sort=fee")
    links = set(re.findall(r'href="/poolers\?sort=([a-z-]+)"', page))
    assert links == set(ORDERS) - {"registered"}
    assert re.findall(r'aria-sort="(\w+)"><a href="/poolers\?sort=([a-z-]+)"', page) == [
        ("ascending", "fee")
    ]
    page = await page_of(site)
    assert re.findall(r'aria-sort="(\w+)"><a href="/poolers\?sort=([a-z-]+)"', page) == [
        ("descending", "kale-month")
    ]


async def test_a_list_that_goes_on_is_said_to(site: GatewayWorld) -> None:
    site.pool.answers["ListPublicPoolers"] = lambda _: report_pb2.ListPublicPoolersResponse(
        poolers=POOLERS, next_page_token="more"
    )
    assert "These are the first 3 by registration." in text_of(await page_of(site))


async def test_a_list_that_ends_says_nothing_of_more(site: GatewayWorld) -> None:
    assert "by registration" not in await page_of(site)


async def test_a_pool_without_listed_poolers_says_so(site: GatewayWorld) -> None:
    site.pool.answers["ListPublicPoolers"] = lambda _: report_pb2.ListPublicPoolersResponse()
    told = text_of(await page_of(site))
    assert "No pooler is listed so far." in told
    assert "What the figures mean" not in told


async def test_the_page_is_there_without_the_operators_rules(site: GatewayWorld) -> None:
    def away(_: Any) -> Any:
        raise UnavailableError("wallet is away")

    site.pool.answers["GetAgreementRules"] = away
    told = text_of(await page_of(site))
    assert "north" in told
    assert "The operator takes" not in told


async def test_without_harvest_there_is_no_page(site: GatewayWorld) -> None:
    def away(_: Any) -> Any:
        raise UnavailableError("harvest is away")

    site.pool.answers["ListPublicPoolers"] = away
    assert (await site.get("/poolers", token=None)).status_code == 503
