"""A pooler and its farmers on a running pool: registered, with accounts, and with KALE to stake."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

import aiohttp
from stellar_sdk import Keypair

from client import Targets, enrol, open_client
from devstack.callers import mark
from devstack.check import has_seen_kale, settle_seconds
from devstack.stack import Progress, Stack
from devstack.wallet_calls import WaitTimeoutError, wait_until
from libs.common.grpc.identity import CallerKind
from libs.common.names import SERVICES
from pooler.config import PoolerConfig
from pooler.events import Observer, registered
from pooler.strategies.choice import StrategyNames

#: Stroops of KALE that each farmer begins with: 100 KALE, so that there is something to stake.
FUNDING = 1_000_000_000
#: Requests of the faucet at a time: those that arrive together share a transaction.
FAUCET_PARALLEL = 100


async def settle(
    stack: Stack, config: PoolerConfig, observe: Observer, progress: Progress
) -> tuple[PoolerConfig, Mapping[str, int]]:
    """Register the pooler and its farmers, and give the farmers KALE.

    Return the pooler's own settings and, by address, what each farmer was given in stroops.
    """
    progress(f"registering {config.farmers} farmers: wallets, accounts, trustlines")
    # The operator registers the pooler, whose certificate then has its id.
    async with open_client(config.targets, stack.operator()) as client:
        pooler_id = await enrol(
            client, config.enrolment(), lambda enrolled: observe(registered(enrolled))
        )
        await mark(stack, str(pooler_id))
        addresses = [farmer.address async for farmer in client.farmers(pooler_id)]
    progress("giving the farmers some KALE to stake")
    funded = await fund(stack.rpc_url, addresses)
    await _seen(stack)
    own = stack.certificates(CallerKind.POOLER, str(pooler_id))
    return replace(config, pooler_id=pooler_id, tls=own), funded


async def _seen(stack: Stack) -> None:
    """Wait until the pool knows the farmers' KALE; not for ever, as the pool farms without, too."""
    with suppress(WaitTimeoutError):
        await wait_until(
            partial(has_seen_kale, stack.admin_dsn),
            "the pool does not see the farmers' KALE",
            seconds=settle_seconds(stack),
            poll=0.5,
        )


def pooler_config(stack: Stack, farmers: int, blocks: int) -> PoolerConfig:
    """Return the settings of a pooler for a stack."""
    return PoolerConfig(
        targets=Targets(**{name: stack.target(name) for name in SERVICES}),
        public_key=Keypair.random().public_key,
        name="demo",
        farmers=farmers,
        stake_percentage="0.25",
        blocks=blocks,
        closing_seconds=0,
        # What was learned of a machine says nothing of the moment when others begin to use it.
        strategies=StrategyNames(stake="agreed", send="share"),
    )


async def fund(rpc_url: str, addresses: list[str]) -> Mapping[str, int]:
    """Ask localnet's faucet for KALE for each farmer; return what each was given, in stroops."""
    limit = asyncio.Semaphore(FAUCET_PARALLEL)

    async def give(session: aiohttp.ClientSession, address: str) -> None:
        query = {"addr": address, "amount": str(FUNDING)}
        async with limit, session.get(f"{rpc_url}/kale", params=query) as response:
            if response.status != 200:
                raise RuntimeError(f"the faucet refused: {await response.text()}")

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(give(session, address) for address in addresses))
    return dict.fromkeys(addresses, FUNDING)
