"""A farmer's owner in a real browser, with a real key, on a pool that farms."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from kalepool.harvest.v1 import ledger_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2, withdrawal_pb2
from playwright.async_api import Browser, BrowserContext, Page, expect
from stellar_sdk import Keypair

from devstack.chain_view import read_kale_balances
from devstack.outside import create_outside, kale
from devstack.paying import Calls, calls_of
from devstack.stack import OPERATOR
from libs.common.grpc.client import call
from libs.common.grpc.identity import CallerKind
from libs.kale.networks import NETWORKS
from scripts.browsing import Shown, chromium, open_browser, open_farming_pool
from tests.e2e.test_pages import AXE, LOADED, grave_findings
from tests.support.browser_wallet import BrowserWallet
from tests.support.pool_world import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium here"),
]

PASSPHRASE = NETWORKS["localnet"].passphrase
#: Seconds for a call, and for what takes some ledgers.
CALL, PATIENCE = 120.0, 120
#: The wallet's button on a page, and what it tells.
SIGN, TOLD = "[data-wallet] button", "[data-wallet] [role=status]"


@dataclass(frozen=True, kw_only=True)
class Owned:
    """A pool that farms, and a farmer of it with an owner."""

    #: The pool.
    shown: Shown
    #: An account that can be paid.
    receiver: Keypair

    @property
    def url(self) -> str:
        """Where the pages are."""
        return self.shown.stack.gateway_url

    @property
    def path(self) -> str:
        """The farmer's page."""
        return f"{self.url}/farmers/{self.farmer_id}"

    @property
    def farmer_id(self) -> str:
        """The farmer."""
        return self.shown.owned

    @property
    def owner(self) -> Keypair:
        """The owner's key."""
        return self.shown.owner

    def wallet(self) -> BrowserWallet:
        """The owner's wallet, on the pool's network."""
        return BrowserWallet(key=self.owner, passphrase=PASSPHRASE)


@pytest.fixture(scope="module")
async def owned(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Owned]:
    """A farmer with an owner, who has harvested a block."""
    receiver = Keypair.random()
    directory = tmp_path_factory.mktemp("owner") / "stack"
    async with open_farming_pool(directory, farmers=3, harvested=1) as shown:
        await create_outside(shown.stack.rpc_url, [receiver])
        async with calls_of(shown.stack, CallerKind.OPERATOR, OPERATOR) as calls:
            await has_harvested(calls, shown.owned)
        yield Owned(shown=shown, receiver=receiver)
        shown.stack.check()


async def has_harvested(calls: Calls, farmer_id: str) -> None:
    """Wait until a harvest of the farmer is booked."""

    async def is_so() -> bool:
        request = ledger_pb2.ListJournalsRequest(farmer_id=farmer_id)
        told = await call(calls.ledger.ListJournals, request, timeout=CALL)
        return any(one.kind == ledger_pb2.JOURNAL_KIND_HARVEST for one in told.journals)

    await eventually(is_so, patience=PATIENCE)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """The browser."""
    async with open_browser() as running:
        yield running


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody at a browser with a wallet, or none."""

    context: BrowserContext
    page: Page
    #: Errors of scripts and of the policy.
    errors: list[str]


async def person(browser: Browser, wallet: BrowserWallet | None, **options: Any) -> Person:
    """Open a browser's window."""
    context = await browser.new_context(**options)
    if wallet is not None:
        await wallet.join(context)
    page = await context.new_page()
    page.set_default_timeout(LOADED)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    return Person(context=context, page=page, errors=errors)


async def sign_in(page: Page, owned: Owned) -> None:
    """Sign in with the wallet, and come to the account's farmers."""
    await page.goto(f"{owned.url}/me")
    await page.click("main a:has-text('sign in with a Stellar account')")
    await page.click(SIGN)
    await page.wait_for_url(f"{owned.url}/me")


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def is_readable(page: Page) -> None:
    """Hold the page against what keeps people from reading it, in both schemes and on a phone."""
    await page.evaluate(AXE)
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await grave_findings(page) == []
    before = page.viewport_size
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    if before is not None:
        await page.set_viewport_size(before)


async def held(owned: Owned, key: Keypair) -> int:
    """Stroops of KALE that an account has on the chain."""
    found = await read_kale_balances(owned.shown.stack.rpc_url, [key.public_key], kale())
    return found.get(key.public_key, 0)


# The way of an owner ------------------------------------------------------------------------------


async def test_an_owner_signs_in_sees_its_farmer_and_is_paid(
    browser: Browser, owned: Owned
) -> None:
    who = await person(browser, owned.wallet())
    page, receiver = who.page, owned.receiver.public_key
    await page.goto(f"{owned.url}/login/stellar")
    await is_readable(page)
    await sign_in(page, owned)
    await is_readable(page)
    (cookie,) = await who.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    # Its farmer, with what it earned.
    await page.click("#farmers tbody a")
    await page.wait_for_url(owned.path)
    await is_readable(page)
    await expect(page.locator("#pending tbody")).to_contain_text("less than the threshold")
    await expect(page.locator("#booked tbody")).to_contain_text("harvest")
    await expect(page.locator("#agreement tbody")).to_contain_text("5 %")
    await expect(page.locator("#accounts")).to_contain_text("nobody yet")
    await signs_an_address(page, receiver)
    await says_when_it_is_paid(page, owned)
    # Its money: sent twice by an impatient hand, paid once.
    await page.fill("#amount", "1.5")
    await page.dblclick("#pay button")
    await expect(page.locator("main [role=status]")).to_have_text(
        f"1.5 KALE were paid to {receiver}."
    )
    await is_readable(page)
    assert await held(owned, owned.receiver) == 15_000_000
    await page.reload()
    await expect(page.locator("main [role=status]")).to_contain_text("1.5 KALE were paid")
    assert await held(owned, owned.receiver) == 15_000_000
    await page.click("text=Back to the farmer")
    await expect(page.locator("#paid tbody tr")).to_have_count(1)
    # The rest, and out.
    await page.click("#pay button")
    await expect(page.locator("main [role=status]")).to_contain_text("KALE were paid to")
    assert await held(owned, owned.receiver) > 15_000_000
    await page.click("form.session button")
    await page.wait_for_url(f"{owned.url}/")
    assert await who.context.cookies() == []
    assert who.errors == []
    await who.context.close()


async def signs_an_address(page: Page, receiver: str) -> None:
    """Give the farmer a payout address by its owner's signature."""
    await page.fill("#address", receiver)
    await page.click("form:has(#address) button")
    await expect(page.locator("h1")).to_have_text("Payout address")
    assert f"Payout address: {receiver}" in await page.input_value("#text")
    await is_readable(page)
    await page.click(SIGN)
    await expect(page.locator("main [role=status]")).to_contain_text("Your signature counts")
    await is_readable(page)
    await page.click("text=Back to the farmer")
    await expect(page.locator("#accounts")).to_contain_text(receiver)


async def says_when_it_is_paid(page: Page, owned: Owned) -> None:
    """Set threshold and interval, and go back to the farmer."""
    await page.fill("#threshold", "90000")
    await page.fill("#interval", "30")
    await page.select_option("select[name=unit]", "days")
    await page.click("#schedule button")
    await expect(page.locator("main [role=status]")).to_contain_text("It is agreed")
    await expect(page.locator("main")).to_contain_text("30 d")
    await is_readable(page)
    async with calls_of(owned.shown.stack, CallerKind.OPERATOR, OPERATOR) as calls:
        newest = (await agreements(calls, owned))[0]
    assert newest.terms.payout_threshold == 900_000_000_000
    assert newest.terms.payout_interval_seconds == 30 * 86_400
    assert newest.terms.pooler_fee == "0.05"
    await page.click("text=Back to the farmer")


async def agreements(calls: Calls, owned: Owned) -> list[agreement_pb2.Agreement]:
    """The farmer's agreements, newest first."""
    request = agreement_pb2.ListAgreementsRequest(farmer_id=owned.farmer_id)
    answer = await call(calls.agreements.ListAgreements, request, timeout=CALL)
    return list(answer.agreements)


async def test_an_owner_signs_in_without_script_by_a_signature_from_elsewhere(
    browser: Browser, owned: Owned
) -> None:
    who = await person(browser, None, java_script_enabled=False)
    page, wallet = who.page, owned.wallet()
    await page.goto(f"{owned.url}/login/stellar?to=/me")
    assert not await page.locator(SIGN).is_visible()
    await page.fill("#account", owned.owner.public_key)
    await page.click("form:has(#account) button")
    text = await page.input_value("#text")
    signed = await wallet.answer(
        {"type": "SUBMIT_BLOB", "accountToSign": owned.owner.public_key, "blob": text}
    )
    await page.fill("#signature", signed["signedBlob"])
    await page.click("form:has(#signature) button")
    await page.wait_for_url(f"{owned.url}/me")
    await page.click("form.session button")
    # And once more by a transaction.
    await page.goto(f"{owned.url}/login/stellar?account={owned.owner.public_key}&to=/blocks")
    signed = await wallet.answer(
        {
            "type": "SUBMIT_TRANSACTION",
            "accountToSign": owned.owner.public_key,
            "transactionXdr": await page.input_value("#challenge"),
            "networkPassphrase": PASSPHRASE,
        }
    )
    await page.fill("#transaction", signed["signedTransaction"])
    await page.click("#signed button")
    await page.wait_for_url(f"{owned.url}/blocks")
    # A wish, too, is signed elsewhere.
    await page.goto(f"{owned.path}/wish?wish=payout-address&address={owned.receiver.public_key}")
    text = await page.input_value("#text")
    await page.fill("#signature", owned.owner.sign_message(text).hex())
    await page.click("#signed button")
    await expect(page.locator("main [role=status]")).to_contain_text("Your signature counts")
    await who.context.close()


async def leave(page: Page, owned: Owned) -> str:
    """Leave the pool by the owner's signature; return the account once it is closed."""
    await page.goto(owned.path)
    await page.click("form:has(input[name=wish][value=leave]) button")
    await expect(page.locator("h1")).to_have_text("Leave the pool")
    await is_readable(page)
    await page.click(SIGN)
    await expect(page.locator("main [role=status]")).to_contain_text("Your signature counts")
    async with calls_of(owned.shown.stack, CallerKind.OPERATOR, OPERATOR) as calls:

        async def has_left() -> bool:
            request = registry_pb2.GetFarmerRequest(farmer_id=owned.farmer_id)
            found = await call(calls.registry.GetFarmer, request, timeout=CALL)
            return bool(found.farmer.status == registry_pb2.FARMER_STATUS_DEPARTED)

        await is_told_to_leave(page, calls, owned)
        await eventually(has_left, patience=3 * PATIENCE)
        request = registry_pb2.GetFarmerRequest(farmer_id=owned.farmer_id)
        told = await call(calls.registry.GetFarmer, request, timeout=CALL)
        return str(told.farmer.custodial_wallet)


async def is_told_to_leave(page: Page, calls: Calls, owned: Owned) -> None:
    """Wait until registry has taken the farmer's word; its page then says so."""

    async def leaves() -> bool:
        request = registry_pb2.GetFarmerRequest(farmer_id=owned.farmer_id)
        found = await call(calls.registry.GetFarmer, request, timeout=CALL)
        return bool(found.farmer.HasField("leaving_since"))

    await eventually(leaves, patience=PATIENCE)
    await page.goto(owned.path)
    await expect(page.locator("#leaving")).to_contain_text("This farmer leaves since")
    await is_readable(page)
    assert await page.locator("input[name=wish][value=leave]").count() == 0


# What goes wrong ------------------------------------------------------------------------------


async def test_without_a_wallet_the_page_says_so(browser: Browser, owned: Owned) -> None:
    who = await person(browser, None)
    await who.page.goto(f"{owned.url}/login/stellar")
    await who.page.click(SIGN)
    await expect(who.page.locator(TOLD)).to_contain_text("No wallet answers in this browser")
    await is_readable(who.page)
    await who.context.close()


@pytest.mark.parametrize("refused", ["REQUEST_ACCESS", "SUBMIT_TRANSACTION"])
async def test_what_a_wallet_refuses_is_said(browser: Browser, owned: Owned, refused: str) -> None:
    wallet = owned.wallet()
    wallet.refuses = {refused}
    who = await person(browser, wallet)
    await who.page.goto(f"{owned.url}/login/stellar")
    await who.page.click(SIGN)
    await expect(who.page.locator(TOLD)).to_have_text(
        "The wallet has refused: The user rejected this request."
    )
    assert await who.context.cookies() == []
    await who.context.close()


async def test_another_network_is_said(browser: Browser, owned: Owned) -> None:
    wallet = owned.wallet()
    wallet.passphrase = NETWORKS["mainnet"].passphrase
    who = await person(browser, wallet)
    await who.page.goto(f"{owned.url}/login/stellar")
    await who.page.click(SIGN)
    told = who.page.locator(TOLD)
    await expect(told).to_contain_text("The wallet is on another network")
    await expect(told).to_contain_text(PASSPHRASE)
    assert "SUBMIT_TRANSACTION" not in wallet.asked
    await who.context.close()


async def test_a_login_by_another_key_is_refused_and_explained(
    browser: Browser, owned: Owned
) -> None:
    wallet = owned.wallet()
    wallet.signs_with = Keypair.random()
    who = await person(browser, wallet)
    await who.page.goto(f"{owned.url}/login/stellar")
    await who.page.click(SIGN)
    await expect(who.page.locator("main [role=alert]")).to_contain_text("by another account")
    assert await who.context.cookies() == []
    await who.context.close()


async def test_a_wish_signed_by_another_key_changes_nothing(browser: Browser, owned: Owned) -> None:
    wallet = owned.wallet()
    who = await person(browser, wallet)
    page = who.page
    await sign_in(page, owned)
    wish = f"{owned.path}/wish?wish=payout-address&address={Keypair.random().public_key}"
    await page.goto(wish)
    wallet.signs_with = Keypair.random()
    await page.click(SIGN)
    await expect(page.locator("main [role=alert]")).to_contain_text(
        f"{owned.owner.public_key} has not signed this text. Nothing was changed."
    )
    await is_readable(page)
    # Another account that is chosen is told before anything is signed.
    await page.goto(wish)
    wallet.key = Keypair.random()
    await page.click(SIGN)
    await expect(page.locator(TOLD)).to_contain_text(f"Choose {owned.owner.public_key} in it")
    async with calls_of(owned.shown.stack, CallerKind.OPERATOR, OPERATOR) as calls:
        request = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=owned.farmer_id)
        found = await call(calls.withdrawals.GetPayoutAddress, request, timeout=CALL)
    assert found.address in {"", owned.receiver.public_key}
    await who.context.close()


async def test_after_its_session_a_form_changes_nothing(browser: Browser, owned: Owned) -> None:
    who = await person(browser, owned.wallet())
    page = who.page
    await sign_in(page, owned)
    await page.goto(owned.path)
    before = await held(owned, owned.receiver)
    await who.context.clear_cookies()
    await page.click("#pay button")
    await expect(page.locator("main")).to_contain_text("your session has ended")
    await expect(page.locator("main")).to_contain_text("Nothing was changed")
    await is_readable(page)
    assert await held(owned, owned.receiver) == before
    await who.context.close()


async def test_another_account_sees_nothing_of_the_farmer_but_what_everybody_does(
    browser: Browser, owned: Owned
) -> None:
    who = await person(browser, BrowserWallet(key=Keypair.random(), passphrase=PASSPHRASE))
    page = who.page
    await sign_in(page, owned)
    await expect(page.locator("#farmers")).to_contain_text("None.")
    await page.goto(owned.path)
    await expect(page.locator("#earned")).to_be_visible()
    assert await page.locator("#agreement, #pay, #schedule, #wishes").count() == 0
    await who.context.close()


async def test_an_owner_leaves_with_everything(browser: Browser, owned: Owned) -> None:
    """The last test here: the farmer is gone after it."""
    who = await person(browser, owned.wallet())
    page = who.page
    await sign_in(page, owned)
    if not await held(owned, owned.receiver):
        await page.goto(owned.path)
        await signs_an_address(page, owned.receiver.public_key)
    before = await held(owned, owned.receiver)
    account = await leave(page, owned)
    assert await held(owned, owned.receiver) > before
    # Its account was sponsored by the pool, so nothing of it is left on the chain.
    found = await read_kale_balances(owned.shown.stack.rpc_url, [account], kale())
    assert not found
    # Its owner still sees what was, and can do nothing more.
    await page.goto(f"{owned.url}/me")
    await expect(page.locator("#farmers tbody")).to_contain_text("departed")
    await page.goto(owned.path)
    await expect(page.locator("main")).to_contain_text("This farmer has left the pool.")
    assert await page.locator("form.act").count() == 0
    await is_readable(page)
    assert who.errors == []
    await who.context.close()
