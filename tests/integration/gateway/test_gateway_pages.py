"""The pages: what everybody sees, what a session shows, and how errors look."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.registry.v1 import registry_pb2
from kalepool.report.v1 import fees_pb2, report_pb2
from kalepool.wallet.v1 import custody_pb2, engine_pb2, reconcile_pb2, wallet_pb2

from libs.common.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from tests.support.fake_backends import FARMER, OPERATOR_TOKEN, POOLER, POOLER_TOKEN, FakePool
from tests.support.gateway_world import GatewayWorld, open_gateway_world
from tests.support.pages import checked, text_of

NOW = 1_796_000_400
ADDRESS = "GAAZI4TCR3TY5OJHCTJC2A4QSY6CJWJH5IAJTGKIN2ER7LBNVKOCCWN7"
HTML = {"Accept": "text/html,application/xhtml+xml"}
OWN = {"Sec-Fetch-Site": "same-origin"}
PUBLIC_PAGES = (
    *("/", "/blocks", "/blocks/7", "/poolers", f"/farmers/{ADDRESS}", "/login", "/login/stellar"),
)
PRIVATE_PAGES = ("/operator", "/payouts", "/notifications", f"/poolers/{POOLER}")
EXTREMES = report_pb2.Extremes(
    min_stake=10_000_000, max_stake=20_000_000, min_zeros=4, max_zeros=8, min_gap=1, max_gap=40
)


def report(index: int, **changes: Any) -> report_pb2.BlockReport:
    given: dict[str, Any] = {
        "block_index": index,
        "opened_at": Timestamp(seconds=NOW + 300 * (index - 7)),
        "planted": 1200,
        "worked": 1100,
        "staked": 12_345_000_000,
        "total_zeros": 6600,
        "total_gap": 22_000,
        "harvested": 1000,
        "rewards": 50_000_000,
        "stake_returned": 100_000_000,
        "fees": 5_000_000,
        "own": EXTREMES,
        "chain": EXTREMES,
        **changes,
    }
    return report_pb2.BlockReport(**given)


def block(request: wallet_pb2.GetBlockRequest) -> wallet_pb2.GetBlockResponse:
    index = request.index if request.HasField("index") else 7
    if index > 7:
        raise NotFoundError(f"block {index} was not seen", reason="BLOCK_UNKNOWN")
    return wallet_pb2.GetBlockResponse(
        block=wallet_pb2.Block(
            index=index,
            is_current=index == 7,
            opened_at=Timestamp(seconds=NOW),
            closes_at=Timestamp(seconds=NOW + 300),
            min_zeros=4,
            max_zeros=9,
            staked_total=77_000_000,
        ),
        head=wallet_pb2.ChainHead(
            ledger=100_200, close_time=Timestamp(seconds=NOW + 60), current_block=7
        ),
    )


def block_report(request: report_pb2.GetBlockReportRequest) -> report_pb2.GetBlockReportResponse:
    if request.block_index not in {6, 7}:
        raise NotFoundError("the pool took no part in it", reason="BLOCK_NOT_FARMED")
    return report_pb2.GetBlockReportResponse(
        block=report(request.block_index, farmers_by_zeros=[0, 3, 7])
    )


def summary() -> report_pb2.Summary:
    day = report_pb2.Earnings(
        starts_at=Timestamp(seconds=NOW), rewards=70_000_000, harvests=20, stake_returned=10**9
    )
    return report_pb2.Summary(
        active_farmers=1234,
        rewards_today=70_000_000,
        rewards_all=12_345_678_901,
        success=report_pb2.Success(blocks=288, planted=999, not_planted=1),
        days=[day, day],
        hours=[day],
    )


def farmer(request: report_pb2.GetFarmerSummaryRequest) -> report_pb2.GetFarmerSummaryResponse:
    if request.address == ADDRESS or request.farmer_id == FARMER:
        return report_pb2.GetFarmerSummaryResponse(
            farmer_id=FARMER, address=ADDRESS, rewards_all=5_000_000
        )
    if len(request.address) < len(ADDRESS):
        raise InvalidArgumentError.of("address", "must be an address")
    raise NotFoundError("no such farmer", reason="FARMER_NOT_FOUND")


def engine(_: Any) -> engine_pb2.GetEngineStatusResponse:
    return engine_pb2.GetEngineStatusResponse(
        endpoints=[
            engine_pb2.StellarEndpoint(
                host="node.example:443", state="set_aside", reason="others contradicted it"
            )
        ],
        fees=engine_pb2.FeeStatus(fees_spent_stroops=25_000_000, fee_budget_stroops=100_000_000),
        warnings=["the audit log does not go on"],
    )


def answers(pool: FakePool) -> None:
    """Have the services answer."""
    pool.answers |= {
        "GetBlock": block,
        "GetBlockReport": block_report,
        "GetPoolSummary": lambda _: report_pb2.GetPoolSummaryResponse(summary=summary()),
        "GetPoolerSummary": lambda _: report_pb2.GetPoolerSummaryResponse(summary=summary()),
        "GetFarmerSummary": farmer,
        "ListBlockReports": lambda _: report_pb2.ListBlockReportsResponse(
            blocks=[report(7), report(6)], next_page_token="more/+"
        ),
        "ListPoolerBlockReports": lambda _: report_pb2.ListPoolerBlockReportsResponse(
            blocks=[report(7)]
        ),
        "GetPooler": lambda _: registry_pb2.GetPoolerResponse(
            pooler=registry_pb2.Pooler(pooler_id=POOLER, name="<b>north</b>")
        ),
        "ListFarmers": lambda _: registry_pb2.ListFarmersResponse(
            farmers=[registry_pb2.Farmer(farmer_id=FARMER, custodial_wallet=ADDRESS)],
            next_page_token="next",
        ),
        "ListFees": lambda _: fees_pb2.ListFeesResponse(
            fees=[
                fees_pb2.Fees(
                    starts_at=Timestamp(seconds=NOW),
                    stroops=3_000_000,
                    kinds=[fees_pb2.Fee(kind=fees_pb2.FEE_KIND_TOP_UP, stroops=3_000_000)],
                )
            ]
        ),
        "GetEngineStatus": engine,
        "GetTreasury": lambda _: wallet_pb2.GetTreasuryResponse(
            address=ADDRESS, xlm_stroops=1_234_567_890_000
        ),
        "ListPauses": lambda _: custody_pb2.ListPausesResponse(
            pauses=[custody_pb2.Pause(scope="pooler", target_id=POOLER, reason="looks odd")]
        ),
        "ListDifferences": lambda _: reconcile_pb2.ListDifferencesResponse(
            differences=[reconcile_pb2.Difference(kind="stake_differs", farmer_id=FARMER)]
        ),
        "ListPoolers": lambda _: registry_pb2.ListPoolersResponse(
            poolers=[registry_pb2.Pooler(pooler_id=POOLER, name="north")]
        ),
    }


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    """A gateway before services that have something to show."""
    async with open_gateway_world(tmp_path) as world:
        answers(world.pool)
        yield world


async def sign_in(site: GatewayWorld, token: str = OPERATOR_TOKEN, to: str = "") -> httpx.Response:
    """Send the form; the client has the cookie from then on."""
    answer = await site.http.post("/login", data={"token": token, "to": to}, headers=OWN)
    site.http.cookies.update(answer.cookies)
    return answer


# What everybody sees -----------------------------------------------------------------------------


async def test_the_overview_tells_how_the_pool_stands(site: GatewayWorld) -> None:
    page = (await site.get("/", token=None, headers=HTML)).text
    told = text_of(page)
    assert "Block 7" in told
    assert "240 seconds left" in told
    assert "1,200 farmers 1,234.5 KALE staked" in told
    assert "1,100 farmers 91.6 % of those planted" in told
    assert "Zeros 4 to 8 mean 6.0" in told
    assert "Zeros that count 4 to 9" in told
    assert "Ever 1,234.5678901 KALE" in told
    assert "Plants 999 1 99.9 %" in told
    assert "XLM per KALE 0.1 XLM in the last 2 blocks" in told
    assert "wallet serves" in told
    assert "The pool is healthy" in told
    assert '<time datetime="2026-11-30T01:00:00Z">' in page
    assert 'href="/blocks/6"' in page


async def test_the_pages_need_no_token_but_those_of_poolers_and_operators(
    site: GatewayWorld,
) -> None:
    for path in PUBLIC_PAGES:
        assert (await site.get(path, token=None)).status_code == 200, path
    for path in PRIVATE_PAGES:
        answer = await site.get(path, token=None)
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            f"/login?to={path.replace('/', '%2F')}",
        )
        # A token in a header is for the API; pages go by the session alone.
        assert (await site.get(path)).status_code == 303
    assert not [one for one in site.pool.calls if one.identity.endswith("/operator/ann")]


@pytest.mark.parametrize("path", [*PUBLIC_PAGES, *PRIVATE_PAGES, "/nothing", "/blocks/99"])
async def test_no_page_needs_anything_that_the_policy_forbids(
    site: GatewayWorld, path: str
) -> None:
    await sign_in(site)
    answer = await site.get(path, token=None, headers=HTML)
    found = checked(answer.text)
    assert (found.wrong, found.open) == ([], [])
    assert len(found.ids) == len(set(found.ids))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get_list("referrer-policy") == ["same-origin"]
    if path in {"/login", "/nothing"}:  # nothing runs where a token is typed
        assert found.scripts == 0


async def test_a_first_view_has_200_kb_at_most(site: GatewayWorld) -> None:
    site.pool.answers["ListBlockReports"] = lambda _: report_pb2.ListBlockReportsResponse(
        blocks=[report(index) for index in range(7, 7 - 288, -1) if index >= 0]
        + [report(0) for _ in range(280)]
    )
    long = [summary().days[0]] * 48
    site.pool.answers["GetPoolSummary"] = lambda _: report_pb2.GetPoolSummaryResponse(
        summary=report_pb2.Summary(days=long[:30], hours=long)
    )
    page = await site.get("/", token=None)
    total = len(page.content)
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert len(files) == 5
    for path in files:
        answer = await site.get(path, token=None)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        total += len(answer.content)
    assert total <= 200_000


async def test_a_block_shows_the_pool_beside_the_chain(site: GatewayWorld) -> None:
    told = text_of((await site.get("/blocks/6", token=None)).text)
    assert "Rewards 5 KALE" in told
    assert "Fees 0.5 XLM" in told
    assert "XLM per KALE 0.1 XLM" in told
    assert "Stake, KALE 1 to 2" in told
    # The most zeros first, as lists begin with the newest.
    assert "Zeros Farmers 2 7 1 3 0 0" in told
    assert "seconds left" not in told


async def test_a_block_without_the_pool_is_told_as_the_chain_has_it(site: GatewayWorld) -> None:
    told = text_of((await site.get("/blocks/5", token=None)).text)
    assert "The pool took no part in this block." in told
    assert "Staked, not yet worked 7.7 KALE" in told


async def test_blocks_are_listed_a_page_at_a_time(site: GatewayWorld) -> None:
    page = (await site.get("/blocks", token=None)).text
    assert 'href="/blocks?page=more/%2B"' in page
    older = (await site.get("/blocks?page=more/%2B", token=None)).text
    assert ">Newest</a>" in older
    assert site.pool.asked("ListBlockReports")[-1].request.page_token == "more/+"


async def test_a_farmer_is_found_by_its_address_and_by_its_id(site: GatewayWorld) -> None:
    for name in (ADDRESS, FARMER):
        told = text_of((await site.get(f"/farmers/{name}", token=None)).text)
        assert f"Address {ADDRESS}" in told
        assert "Ever 0.5 KALE" in told


async def test_the_operator_may_close_farmers_figures(site: GatewayWorld) -> None:
    def closed(_: Any) -> Any:
        raise PermissionDeniedError("farmers' figures are closed", reason="FARMER_PAGES_CLOSED")

    site.pool.answers["GetFarmerSummary"] = closed
    answer = await site.get(f"/farmers/{ADDRESS}", token=None)
    assert answer.status_code == 403
    assert "shows farmers’ figures to their owners and poolers only" in answer.text
    # Whoever has signed in asks in the own name.
    site.pool.answers["GetFarmerSummary"] = farmer
    await sign_in(site, POOLER_TOKEN)
    assert (await site.get(f"/farmers/{ADDRESS}", token=None)).status_code == 200
    assert site.pool.asked("GetFarmerSummary")[-1].identity.endswith(f"/pooler/{POOLER}")


# What is not there, or away -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nothing", "/blocks/99", "/blocks/x", "/blocks/7/x", "/static/none.js"]
)
async def test_what_is_not_there_is_a_page_for_browsers(site: GatewayWorld, path: str) -> None:
    answer = await site.get(path, token=None, headers=HTML)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Not Found" in text_of(answer.text)


@pytest.mark.parametrize("name", ["GNOT", f"{ADDRESS[:-1]}X", "%3Cscript%3E", "%ff"])
async def test_what_names_no_farmer_is_not_there(site: GatewayWorld, name: str) -> None:
    answer = await site.get(f"/farmers/{name}", token=None, headers=HTML)
    assert answer.status_code == 404
    assert "<script>" not in answer.text


async def test_programs_are_told_errors_as_problems(site: GatewayWorld) -> None:
    for path, accept in (("/nothing", "*/*"), ("/v1/nothing", "application/json")):
        answer = await site.get(path, token=None, headers={"Accept": accept})
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    # The API answers in its own form, whoever asks.
    answer = await site.get("/v1/poolers", token=None, headers=HTML)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_one_service_does_not_tell_is_said_beside_the_rest(site: GatewayWorld) -> None:
    def away(_: Any) -> Any:
        raise UnavailableError("harvest is away", retry_after=1.0)

    site.pool.answers["GetPoolSummary"] = site.pool.answers["ListBlockReports"] = away
    answer = await site.get("/", token=None)
    assert answer.status_code == 200
    told = text_of(answer.text)
    assert told.count("Not to be had just now: harvest is away") == 3
    assert "240 seconds left" in told


async def test_a_page_whose_service_is_away_says_so(site: GatewayWorld) -> None:
    def away(_: Any) -> Any:
        raise UnavailableError("harvest is away", retry_after=1.0)

    site.pool.answers["ListBlockReports"] = away
    answer = await site.get("/blocks", token=None)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "harvest is away" in text_of(answer.text)


async def test_other_methods_of_http_are_refused(site: GatewayWorld) -> None:
    answer = await site.post("/operator", token=None)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    head = await site.request("HEAD", "/", token=None)
    assert (head.status_code, head.content) == (200, b"")


async def test_a_thousand_viewers_cost_the_services_a_few_calls(site: GatewayWorld) -> None:
    pages = await asyncio.gather(*(site.get("/", token=None) for _ in range(200)))
    assert {page.status_code for page in pages} == {200}
    assert len(site.pool.asked("GetPoolSummary")) <= 5
    assert len(site.pool.asked("ListBlockReports")) <= 5


# Sessions ---------------------------------------------------------------------------------------


async def test_an_operator_signs_in_looks_and_signs_out(site: GatewayWorld) -> None:
    answer = await sign_in(site)
    assert (answer.status_code, answer.headers["location"]) == (303, "/operator")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly; SameSite=Strict" in cookie
    assert OPERATOR_TOKEN not in cookie

    page = (await site.get("/operator", token=None)).text
    told = text_of(page)
    assert "operator ann" in told
    assert "the audit log does not go on" in told
    assert "123,456.789 XLM" in told
    assert "All transactions 2.5 10 25.0 %" in told
    assert "node.example:443 set aside" in told
    assert "others contradicted it" in told
    assert "looks odd" in told
    assert "stake differs" in told
    assert f'href="/poolers/{POOLER}"' in page
    assert "top up 0.3" in told

    proof = re.search(r'name="proof" value="([^"]+)"', page)
    assert proof is not None
    out = await site.http.post("/logout", data={"proof": proof[1]}, headers=OWN)
    assert (out.status_code, out.headers["location"]) == (303, "/")
    assert "Max-Age=0" in out.headers["set-cookie"]
    site.http.cookies.clear()
    assert (await site.get("/operator", token=None)).status_code == 303


async def test_a_pooler_sees_its_own_page_and_not_the_operators(site: GatewayWorld) -> None:
    answer = await sign_in(site, POOLER_TOKEN)
    assert answer.headers["location"] == f"/poolers/{POOLER}"
    page = (await site.get(f"/poolers/{POOLER}", token=None)).text
    assert "&lt;b&gt;north&lt;/b&gt;" in page
    assert "<b>north" not in page
    assert f'href="/farmers/{ADDRESS}"' in page
    assert f'href="/poolers/{POOLER}?page=next#farmers"' in page
    refused = await site.get("/operator", token=None)
    assert refused.status_code == 403
    assert "this page is for operators" in refused.text
    # Nothing of the operators' was asked for.
    assert not site.pool.asked("GetEngineStatus")


async def test_anothers_pooler_is_refused_as_registry_refuses_it(site: GatewayWorld) -> None:
    def refused(_: Any) -> Any:
        raise PermissionDeniedError("not yours", reason="NOT_YOURS")

    site.pool.answers["GetPooler"] = refused
    await sign_in(site, POOLER_TOKEN)
    answer = await site.get("/poolers/0190a5f0-0000-7000-8000-00000000000f", token=None)
    assert answer.status_code == 403
    assert "north" not in answer.text


async def test_a_form_leads_back_to_the_page_that_was_asked_for(site: GatewayWorld) -> None:
    form = (await site.get(f"/login?to=%2Fpoolers%2F{POOLER}", token=None)).text
    assert f'name="to" value="/poolers/{POOLER}"' in form
    answer = await sign_in(site, to=f"/poolers/{POOLER}")
    assert answer.headers["location"] == f"/poolers/{POOLER}"
    for to in ("//evil.example", "https://evil.example", "/\\evil.example"):
        assert (await sign_in(site, to=to)).headers["location"] == "/operator"
        assert "evil" not in (await site.get("/login", params={"to": to}, token=None)).text


async def test_a_wrong_token_begins_no_session_and_is_counted(site: GatewayWorld) -> None:
    for token in ("", "kp_x", "kp_" + "x" * 43, "<script>"):
        answer = await sign_in(site, token)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert "There is no such token" in answer.text
        assert token not in answer.text or not token
    # On a slow machine the right to try comes back between two tries.
    for number in range(400):
        answer = await sign_in(site, "kp_" + f"{number:043}")
        if answer.status_code == 429:
            break
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
async def test_another_site_signs_nobody_in_or_out(
    site: GatewayWorld, headers: dict[str, str]
) -> None:
    form = {"token": OPERATOR_TOKEN}
    answer = await site.http.post("/login", data=form, headers=headers)
    assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
    await sign_in(site)
    answer = await site.http.post("/logout", data={}, headers=headers)
    assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
    # Our own origin without the session's proof is not enough either.
    answer = await site.http.post("/logout", data={"proof": "x"}, headers=OWN)
    assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"token=x", "application/json", 415),
        (b"token", "application/x-www-form-urlencoded", 400),
        (b"token=%ff", "application/x-www-form-urlencoded", 400),
        (b"token=" + b"x" * 9000, "application/x-www-form-urlencoded", 413),
        (b"token=a&token=b", "application/x-www-form-urlencoded", 400),
    ],
)
async def test_what_is_no_form_is_refused_with_a_page(
    site: GatewayWorld, content: bytes, kind: str, status: int
) -> None:
    headers = {**OWN, "Content-Type": kind}
    answer = await site.http.post("/login", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_the_cookie_counts_for_pages_and_never_for_the_api(site: GatewayWorld) -> None:
    await sign_in(site)
    assert (await site.get("/v1/poolers", token=None)).status_code == 401
    answer = await site.post("/plant", token=None, json={"blockIndex": 1, "poolerId": POOLER})
    assert answer.status_code == 401
    assert (await site.get("/operator", token=None)).status_code == 200


async def test_a_token_that_was_revoked_ends_the_session(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path) as site:
        answers(site.pool)
        site.pool.life = 10.05  # an access token is used again for a moment only
        await sign_in(site)
        assert (await site.get("/operator", token=None)).status_code == 200
        site.pool.revoked.add(OPERATOR_TOKEN)
        await asyncio.sleep(0.1)
        answer = await site.get("/operator", token=None)
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            "/login?to=%2Foperator&ended=yes",
        )
        assert "Max-Age=0" in answer.headers["set-cookie"]
        form = await site.get(answer.headers["location"], token=None)
        assert "Your session has ended. Sign in again." in text_of(form.text)
        public = await site.get("/", token=None)
        assert public.status_code == 200
        assert "Sign in" in public.text


async def test_gateways_that_share_a_secret_know_each_others_sessions(tmp_path: Path) -> None:
    key = tmp_path / "session.key"
    key.write_text("5e" * 32 + "\n", encoding="ascii")
    async with (
        open_gateway_world(tmp_path / "a", gateway_session_key_file=key) as one,
        open_gateway_world(tmp_path / "b", gateway_session_key_file=key) as other,
        open_gateway_world(tmp_path / "c") as stranger,
    ):
        for world in (one, other, stranger):
            answers(world.pool)
        cookie = (await sign_in(one)).headers["set-cookie"].partition(";")[0]
        headers = {"Cookie": cookie}
        assert (await other.get("/operator", token=None, headers=headers)).status_code == 200
        refused = await stranger.get("/operator", token=None, headers=headers)
        assert (refused.status_code, "Max-Age=0" in refused.headers["set-cookie"]) == (303, True)


async def test_while_wallet_is_away_nobody_is_signed_out(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path) as site:
        answers(site.pool)
        site.pool.life = 10.05  # an access token is used again for a moment only
        await sign_in(site)

        def away(_: Any) -> Any:
            raise UnavailableError("wallet is away", retry_after=1.0)

        site.pool.exchange = away  # type: ignore[method-assign,assignment]
        await asyncio.sleep(0.1)
        answer = await site.get("/operator", token=None)
        assert answer.status_code == 503
        assert "set-cookie" not in answer.headers
        public = await site.get("/", token=None)
        assert (public.status_code, "token not checked" in public.text) == (200, True)


async def test_behind_tls_the_cookie_is_for_tls_alone(tmp_path: Path) -> None:
    async with open_gateway_world(tmp_path, behind_proxy=True) as site:
        answers(site.pool)
        cookie = (await sign_in(site)).headers["set-cookie"]
        assert cookie.startswith("__Host-kalepool=")
        assert cookie.endswith("; Secure")
