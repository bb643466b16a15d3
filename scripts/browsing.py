"""A pool that farms, and a browser to look at it: for the pictures and for the browser test."""

import asyncio
import base64
import json
import shutil
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kalepool.registry.v1 import (
    notification_pb2,
    notification_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)
from kalepool.wallet.v1 import token_pb2, token_pb2_grpc, withdrawal_pb2, withdrawal_pb2_grpc
from playwright.async_api import Browser, BrowserContext, async_playwright
from stellar_sdk import Keypair

from devstack.farmers import fund, pooler_config, settle
from devstack.paying import Calls, calls_of
from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.identity import CallerKind
from pooler.run import run

#: Names under which Chromium is installed.
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
#: Stroops of KALE from which on the farmer with an owner is paid: more than it earns here.
_THRESHOLD = 1_000_000_000_000
#: Seconds for a call.
_CALL = 60.0
#: Seconds until the pool has something to show, at the latest.
_PATIENCE = 300.0


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A pool that has farmed, and who may look at what."""

    #: The processes.
    stack: Stack
    #: API token of the operator; it is read-only.
    operator_token: str
    #: API token of the pooler; it is read-only.
    pooler_token: str
    #: The pooler.
    pooler_id: str
    #: Address of one of its farmers.
    address: str
    #: The farmer that has an owner account, and that account's key.
    owned: str
    owner: Keypair
    #: A block that was farmed and harvested.
    block_index: int

    @property
    def paths(self) -> dict[str, str]:
        """Return the paths of all pages, by their names."""
        return {
            "overview": "/",
            "blocks": "/blocks",
            "block": f"/blocks/{self.block_index}",
            "farmer": f"/farmers/{self.address}",
            "poolers": "/poolers",
            "pooler": f"/poolers/{self.pooler_id}",
            "operator": "/operator",
            "notifications": "/notifications",
            "own": f"/farmers/{self.owned}",
            "me": "/me",
            "wish": f"/farmers/{self.owned}/wish?wish=owner-account&account={self.address}",
            "login": "/login",
            "login by account": "/login/stellar",
            "docs": "/docs",
            "missing": "/nothing-is-here",
        }


def chromium() -> str | None:
    """Return where Chromium is; None where there is none."""
    return next(filter(None, map(shutil.which, _CHROMIUM)), None)


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Run Chromium while the block runs."""
    found = chromium()
    if found is None:
        raise SystemExit("there is no Chromium here (on Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=found, args=["--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_farming_pool(
    directory: Path, *, farmers: int = 8, harvested: int = 2
) -> AsyncIterator[Shown]:
    """Run a pool that goes on farming while the block runs; some blocks are harvested before."""
    config = StackConfig(
        directory=directory,
        ledger_seconds=0.5,
        block_seconds=20,
        gateway=True,
        environment={
            "wallet": {"LOGIN_HOME_DOMAIN": "pool.example"},
            "registry": {"LEAVING_SECONDS": "1"},
            # One address signs in again and again.
            "gateway": {"WRONG_TOKEN_LIMIT": "1000"},
        },
    )
    async with open_stack(config, print) as stack:
        own, _ = await settle(stack, pooler_config(stack, farmers, 1000), _ignore, print)
        owner = Keypair.random()
        owned = await _join(stack, str(own.pooler_id), owner)
        farming = asyncio.create_task(run(own, _ignore))
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await _farmed(stack, farming, harvested)
                shown = await _shown(stack, str(own.pooler_id), found, (owned, owner))
            yield shown
        finally:
            farming.cancel()
            with suppress(asyncio.CancelledError):
                await farming


async def sign_in(context: BrowserContext, url: str, token: str) -> None:
    """Sign in as a person does."""
    page = await context.new_page()
    await page.goto(f"{url}/login")
    await page.fill("#token", token)
    await page.click("main button")
    await page.wait_for_selector("form.session")
    await page.close()


async def sign_in_by_account(context: BrowserContext, url: str, key: Keypair) -> None:
    """Sign in as an owner does whose wallet is not in the browser."""
    page = await context.new_page()
    await page.goto(f"{url}/login/stellar?account={key.public_key}")
    signature = key.sign_message(await page.input_value("#text"))
    await page.fill("#signature", base64.b64encode(signature).decode())
    await page.click("form:has(#signature) button")
    await page.wait_for_selector("form.session")
    await page.close()


async def _join(stack: Stack, pooler_id: str, owner: Keypair) -> str:
    """Publish terms, and register a farmer whose owner agrees to them; return its id."""
    async with calls_of(stack, CallerKind.OPERATOR, OPERATOR) as calls:
        terms = registry_pb2.PublishTermsRequest(
            pooler_id=pooler_id, pooler_fee="0.05", payout_threshold=_THRESHOLD
        )
        await call(calls.registry.PublishTerms, terms, timeout=_CALL)
        joining = registry_pb2.RegisterFarmerRequest(
            pooler_id=pooler_id,
            stake_percentage="0.25",
            owner_account=owner.public_key,
            terms_version=1,
        )
        joined = await call(calls.registry.RegisterFarmer, joining, timeout=_CALL)
        await fund(stack.rpc_url, [await _address(calls, joined.farmer_id)])
    return str(joined.farmer_id)


async def _address(calls: Calls, farmer_id: str) -> str:
    """Wait until a farmer's account is on the chain; return its address."""
    while True:
        request = registry_pb2.GetFarmerRequest(farmer_id=farmer_id)
        farmer = (await call(calls.registry.GetFarmer, request, timeout=_CALL)).farmer
        if farmer.is_funded:
            return str(farmer.custodial_wallet)
        await asyncio.sleep(0.5)


async def _farmed(stack: Stack, farming: "asyncio.Task[Any]", harvested: int) -> int:
    """Wait until blocks are harvested; return the newest of them."""
    while len(found := await _harvested(stack)) < harvested:
        if farming.done():
            farming.result()
        await asyncio.sleep(1)
    return found[0]


async def _shown(
    stack: Stack, pooler_id: str, block_index: int, owned: tuple[str, Keypair]
) -> Shown:
    """Return what there is to look at."""
    farmer = await _farmer(stack, pooler_id)
    await _listed(stack, pooler_id)
    await _notified(stack, farmer.farmer_id)
    operator, pooler = token_pb2.TOKEN_ROLE_OPERATOR, token_pb2.TOKEN_ROLE_POOLER
    return Shown(
        stack=stack,
        operator_token=await _token(stack, role=operator),
        pooler_token=await _token(stack, role=pooler, pooler_id=pooler_id),
        pooler_id=pooler_id,
        address=farmer.custodial_wallet,
        owned=owned[0],
        owner=owned[1],
        block_index=block_index,
    )


async def _harvested(stack: Stack) -> list[int]:
    """Return the blocks that were harvested, newest first, as everybody sees them."""
    answer = await asyncio.to_thread(_read, f"{stack.gateway_url}/v1/reports/blocks")
    return [block["blockIndex"] for block in answer["blocks"] if block["harvested"]]


def _read(url: str) -> Any:
    # No proxy of this machine's is asked for an address of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        return json.load(answer)


async def _token(
    stack: Stack, *, role: "token_pb2.TokenRole.ValueType", pooler_id: str = ""
) -> str:
    request = token_pb2.CreateTokenRequest(
        role=role, pooler_id=pooler_id, name="pages", is_read_only=True
    )
    async with open_channel(stack.target("wallet"), stack.operator(), name="wallet") as channel:
        answer = await token_pb2_grpc.TokenServiceStub(channel).CreateToken(request)
    return answer.token


async def _farmer(stack: Stack, pooler_id: str) -> registry_pb2.Farmer:
    request = registry_pb2.ListFarmersRequest(pooler_id=pooler_id, page_size=1)
    async with open_channel(stack.target("registry"), stack.operator(), name="registry") as channel:
        answer = await registry_pb2_grpc.RegistryServiceStub(channel).ListFarmers(request)
    return answer.farmers[0]


async def _listed(stack: Stack, pooler_id: str) -> None:
    """Have a pooler publish terms, and be in the public list."""
    terms = registry_pb2.PublishTermsRequest(
        pooler_id=pooler_id,
        pooler_fee="0.05",
        payout_threshold=10_000_000,
        harvest_blocks=1,
        text="We plant as soon as a block opens, and work late.",
    )
    change = registry_pb2.UpdatePoolerRequest(pooler_id=pooler_id, is_listed=True)
    async with open_channel(stack.target("registry"), stack.operator(), name="registry") as channel:
        registry = registry_pb2_grpc.RegistryServiceStub(channel)
        await registry.PublishTerms(terms)
        await registry.UpdatePooler(change)


async def _notified(stack: Stack, farmer_id: str) -> None:
    """Change a farmer's payout address, and wait until that is told."""
    request = withdrawal_pb2.SetPayoutAddressRequest(
        farmer_id=farmer_id, address=Keypair.random().public_key
    )
    async with open_channel(stack.target("wallet"), stack.operator(), name="wallet") as channel:
        await withdrawal_pb2_grpc.WithdrawalServiceStub(channel).SetPayoutAddress(request)
    of_farmer = notification_pb2.ListNotificationsRequest(farmer_id=farmer_id)
    async with open_channel(stack.target("registry"), stack.operator(), name="registry") as channel:
        registry = notification_pb2_grpc.NotificationServiceStub(channel)
        while True:
            found = await registry.ListNotifications(of_farmer)
            if found.notifications:
                return
            await asyncio.sleep(0.5)


def _ignore(_: object) -> None:
    """Take an event of the pooler."""
