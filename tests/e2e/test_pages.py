"""Every page in a real browser, on a pool that farms: readable, live, and of this origin alone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from scripts.browsing import (
    Shown,
    chromium,
    open_browser,
    open_farming_pool,
    sign_in,
    sign_in_by_account,
)
from scripts.screenshots import pictures, shoot

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium here"),
]

ROOT = Path(__file__).resolve().parents[2]
AXE = (ROOT / "tests" / "support" / "axe" / "axe.min.js").read_text(encoding="utf-8")
PAGES = (
    *("overview", "blocks", "block", "farmer", "poolers", "pooler", "operator", "notifications"),
    *("login", "login by account", "me", "own", "wish", "docs", "missing"),
)
PRIVATE = frozenset({"pooler", "operator", "notifications"})
OWNERS = frozenset({"me", "own", "wish"})
WITH_PLOTS = ("overview", "block", "farmer", "pooler", "own")
#: What is found that keeps people from reading a page.
GRAVE = frozenset({"serious", "critical"})
#: Milliseconds within which the chain goes on, and a block ends.
LEDGER, BLOCK = 20_000, 90_000
#: Milliseconds within which a page is there, on a machine that has much else to do.
LOADED = 180_000


@dataclass(kw_only=True)
class Visit:
    """A page that is looked at, and what the browser said of it."""

    #: The page.
    page: Page
    #: Errors of scripts and of the policy.
    errors: list[str] = field(default_factory=list)
    #: Addresses that were asked.
    asked: list[str] = field(default_factory=list)
    #: Bytes of files that came.
    size: int = 0


@pytest.fixture(scope="module")
async def shown(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shown]:
    """A pool that farms."""
    async with open_farming_pool(tmp_path_factory.mktemp("pages") / "stack") as running:
        yield running
        running.stack.check()


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """The browser."""
    async with open_browser() as running:
        yield running


async def visit(context: BrowserContext, shown: Shown, name: str) -> Visit:
    """Open a page."""
    seen = Visit(page=await context.new_page())
    seen.page.set_default_timeout(LOADED)
    seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
    seen.page.on(
        "console",
        lambda line: seen.errors.append(line.text) if line.type == "error" else None,
    )
    seen.page.on("request", lambda request: seen.asked.append(request.url))
    await seen.page.goto(f"{shown.stack.gateway_url}{shown.paths[name]}")
    return seen


@pytest.fixture(scope="module")
async def signed_in(browser: Browser, shown: Shown) -> Any:
    """What a browser keeps of the sessions, by pages: the operator's, and an owner's."""
    url = shown.stack.gateway_url
    kept: dict[str, Any] = {}
    context = await browser.new_context()
    await sign_in(context, url, shown.operator_token)
    kept |= dict.fromkeys(PRIVATE, await context.storage_state())
    await context.close()
    context = await browser.new_context()
    await sign_in_by_account(context, url, shown.owner)
    kept |= dict.fromkeys(OWNERS, await context.storage_state())
    await context.close()
    return kept


async def context_for(browser: Browser, name: str, signed_in: Any, **options: Any) -> Any:
    """Return who looks: the operator, an owner, or nobody in particular."""
    own = {"storage_state": signed_in[name]} if name in signed_in else {}
    return await browser.new_context(**own, **options)


async def grave_findings(page: Page, within: str = "html") -> list[object]:
    """What keeps people from reading a page, or a part of one."""
    found = await page.evaluate("within => axe.run(within, {resultTypes: ['violations']})", within)
    return [
        (one["id"], one["impact"], [node["target"] for node in one["nodes"]][:5])
        for one in found["violations"]
        if one["impact"] in GRAVE
    ]


@pytest.mark.parametrize("name", PAGES)
async def test_everybody_can_read_a_page(
    browser: Browser, shown: Shown, signed_in: Any, name: str
) -> None:
    context = await context_for(browser, name, signed_in, color_scheme="light")
    seen = await visit(context, shown, name)
    await seen.page.evaluate(AXE)
    assert await grave_findings(seen.page) == []
    await seen.page.emulate_media(color_scheme="dark")
    # The API's reference is long, and alike all over.
    assert await grave_findings(seen.page, "header" if name == "docs" else "html") == []
    # A page that is not there is told as an error by the browser, too.
    assert [line for line in seen.errors if "404" not in line] == []
    origin = shown.stack.gateway_url
    assert [url for url in seen.asked if not url.startswith(f"{origin}/")] == []
    await context.close()


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_fits_a_phone(
    browser: Browser, shown: Shown, signed_in: Any, name: str
) -> None:
    viewport = {"width": 360, "height": 740}
    context = await context_for(browser, name, signed_in, viewport=viewport)
    seen = await visit(context, shown, name)
    await seen.page.wait_for_timeout(200)
    assert await seen.page.evaluate("document.documentElement.scrollWidth") <= 360
    await context.close()


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_whole_without_script(
    browser: Browser, shown: Shown, signed_in: Any, name: str
) -> None:
    context = await context_for(browser, name, signed_in)
    with_script = await visit(context, shown, name)
    title = await with_script.page.title()
    await context.close()
    context = await context_for(browser, name, signed_in, java_script_enabled=False)
    seen = await visit(context, shown, name)
    assert await seen.page.title() == title
    if name in WITH_PLOTS:
        assert await seen.page.locator("figure table tbody tr").count() > 0
        await expect(seen.page.locator("figure table").first).to_be_visible()
    await context.close()


@pytest.mark.parametrize("name", WITH_PLOTS)
async def test_tables_are_drawn_beside_them(
    browser: Browser, shown: Shown, signed_in: Any, name: str
) -> None:
    context = await context_for(browser, name, signed_in)
    seen = await visit(context, shown, name)
    plot = seen.page.locator("figure .drawn canvas").first
    await expect(plot).to_be_visible()
    assert await seen.page.locator("figure .drawn[role=img]").count() > 0
    # Something is on it: not all of its points are alike.
    colours = await plot.evaluate(
        "canvas => new Set(new Uint32Array(canvas.getContext('2d')"
        ".getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"
    )
    assert colours > 3
    await context.close()


async def test_the_clock_runs_and_figures_follow_the_blocks(browser: Browser, shown: Shown) -> None:
    context = await browser.new_context()
    seen = await visit(context, shown, "overview")
    seconds = seen.page.locator(".clock .seconds")
    first = await seconds.inner_text()
    await expect(seconds).not_to_have_text(first, timeout=LEDGER)
    assert any(url.endswith("/v1/blocks:watch") for url in seen.asked)
    # The next block's figures come without a new page.
    await seen.page.evaluate("window.isTheSame = true")
    index = seen.page.locator("#now-title a")
    before = int(await index.inner_text())
    await expect(index).not_to_have_text(str(before), timeout=BLOCK)
    assert int(await index.inner_text()) > before
    assert await seen.page.evaluate("window.isTheSame")
    await expect(seen.page.locator("figure .drawn canvas").first).to_be_visible()
    assert seen.errors == []
    await context.close()


async def test_a_person_signs_in_and_out_by_keyboard(browser: Browser, shown: Shown) -> None:
    context = await browser.new_context()
    seen = await visit(context, shown, "operator")
    page = seen.page
    assert page.url.endswith("/login?to=%2Foperator")
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.locator("#token")).to_be_focused()
    await page.keyboard.type(shown.operator_token)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/operator")
    (cookie,) = await context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert shown.operator_token not in cookie["value"]
    await expect(page.locator("#poolers a").first).to_have_attribute(
        "href", f"/poolers/{shown.pooler_id}"
    )
    await page.locator("form.session button").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{shown.stack.gateway_url}/")
    assert await context.cookies() == []
    await page.goto(f"{shown.stack.gateway_url}/operator")
    assert page.url.endswith("/login?to=%2Foperator")
    await context.close()


@pytest.mark.parametrize("name", ["notifications", "operator", "pooler"])
async def test_what_happened_is_told_with_links(
    browser: Browser, shown: Shown, signed_in: Any, name: str
) -> None:
    context = await context_for(browser, name, signed_in)
    seen = await visit(context, shown, name)
    row = seen.page.locator("main tr:has(.told)", has_text="Payout address").first
    await expect(row.locator(".told time")).to_be_visible()
    await expect(row.locator("a").first).to_have_attribute("href", f"/poolers/{shown.pooler_id}")
    await row.locator("a >> nth=1").click()
    await seen.page.wait_for_url("**/farmers/*")
    await expect(seen.page.locator("main")).to_contain_text(shown.address)
    await context.close()


async def test_a_pooler_finds_its_own_page_and_no_other(browser: Browser, shown: Shown) -> None:
    context = await browser.new_context()
    await sign_in(context, shown.stack.gateway_url, shown.pooler_token)
    seen = await visit(context, shown, "overview")
    await seen.page.click("nav a:has-text('My pooler')")
    await seen.page.wait_for_url(f"**/poolers/{shown.pooler_id}")
    await seen.page.click("#farmers tbody a >> nth=0")
    await seen.page.wait_for_url("**/farmers/G*")
    answer = await seen.page.goto(f"{shown.stack.gateway_url}/operator")
    assert answer is not None
    assert answer.status == 403
    await context.close()


async def test_a_first_view_has_200_kb_at_most(browser: Browser, shown: Shown) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    sizes: dict[str, int] = {}

    async def count(answer: Any) -> None:
        if "blocks:watch" not in answer.url:
            sizes[answer.url] = len(await answer.body())

    page.on("response", count)
    await page.goto(shown.stack.gateway_url, wait_until="load")
    await page.wait_for_timeout(500)
    assert len(sizes) >= 5
    assert sum(sizes.values()) <= 200_000, sizes
    await context.close()


async def test_pictures_are_taken(browser: Browser, shown: Shown, tmp_path: Path) -> None:
    made = await shoot(browser, shown, tmp_path)
    assert len(made) == len(list(pictures()))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)
