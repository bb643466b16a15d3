"""The demo: a pool farms some blocks, then its records are compared with the chain."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table
from stellar_sdk import Asset, Keypair

from demo.chain_view import ChainView, read_chain
from demo.check import AWAY, Verdict, compare, has_seen_kale
from demo.screen import Screen
from demo.stack import Progress, Stack, StackConfig, open_stack
from demo.wallet_calls import WaitTimeoutError, wait_until
from libs.common.grpc.identity import CallerKind
from libs.common.names import SERVICES
from libs.kale.amounts import format_kale
from libs.kale.networks import NETWORKS
from pooler.client import Targets, open_client
from pooler.config import PoolerConfig
from pooler.enrol import enrol
from pooler.events import Observer
from pooler.run import RunSummary, run

DIRECTORY = Path("var") / "demo"
#: Stroops of KALE that each farmer begins with: 100 KALE, so that there is something to stake.
FUNDING = 1_000_000_000
#: Seconds of a block: planting and working take longer with more farmers.
SHORTEST_BLOCK = 20
FARMERS_PER_SECOND = 8
#: Requests of the faucet at a time: those that arrive together share a transaction.
FAUCET_PARALLEL = 100
#: Seconds in which records that are on their way may still arrive before the verdict.
SETTLE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What a demo came to."""

    #: What the pooler did.
    run: RunSummary
    #: What the comparison found.
    verdict: Verdict
    #: Farmers times blocks.
    asked: int

    @property
    def all_farmed(self) -> bool:
        """Whether everybody was planted and harvested in every block, and no stake was lost."""
        run = self.run
        return (
            min(run.planted, run.harvested) >= self.asked
            and run.worked == run.planted
            and run.still_pending == 0
        )

    @property
    def passed(self) -> bool:
        """Whether all was farmed, and the records are what is on the chain."""
        return self.all_farmed and self.verdict.equal


async def run_demo(farmers: int, blocks: int, console: Console) -> int:
    """Runs the demo in var/demo; exit status 0 only when all was farmed and equals the chain."""
    config = StackConfig(
        directory=DIRECTORY, ledger_seconds=1.0, block_seconds=block_seconds(farmers)
    )
    with Screen(console) as screen:
        async with open_stack(config, screen.progress) as stack:
            result = await farm(stack, farmers, blocks, screen)
    write_summary(DIRECTORY / "summary.json", result, farmers, blocks)
    show(console, result)
    return 0 if result.passed else 1


def block_seconds(farmers: int) -> int:
    """Seconds of a block of the demo."""
    return SHORTEST_BLOCK + farmers // FARMERS_PER_SECOND


async def farm(stack: Stack, farmers: int, blocks: int, screen: Screen) -> DemoResult:
    """Registers, funds, farms and compares on a running pool."""
    config, funded = await settle(
        stack, pooler_config(stack, farmers, blocks), screen, screen.progress
    )
    screen.progress("farming")
    summary = await run(config, screen)
    screen.progress("comparing the records with the chain")
    verdict = await settled_verdict(stack, funded, partial(read_chain, stack.rpc_url))
    stack.check()
    return DemoResult(run=summary, verdict=verdict, asked=farmers * blocks)


async def settle(
    stack: Stack, config: PoolerConfig, observe: Observer, progress: Progress
) -> tuple[PoolerConfig, Mapping[str, int]]:
    """Registers the pooler and its farmers, and gives these KALE.

    Returns the pooler's own settings and, by address, what each farmer was given in stroops.
    """
    progress(f"registering {config.farmers} farmers: wallets, accounts, trustlines")
    # Somebody who runs the pool registers the pooler, whose certificate then has its id.
    async with open_client(config.targets, stack.operator()) as client:
        pooler_id = await enrol(client, config, observe)
        addresses = [farmer.address async for farmer in client.farmers(pooler_id)]
    progress("giving the farmers some KALE to stake")
    funded = await fund(stack.rpc_url, addresses)
    await _seen(stack)
    own = stack.certificates(CallerKind.POOLER, str(pooler_id))
    return replace(config, pooler_id=pooler_id, tls=own), funded


async def _seen(stack: Stack) -> None:
    """Until the pool knows what there is to stake; not for ever, as it farms without, too."""
    with suppress(WaitTimeoutError):
        await wait_until(
            partial(has_seen_kale, stack.admin_dsn),
            "the pool does not see the farmers' KALE",
            seconds=SETTLE_SECONDS,
            poll=0.5,
        )


def pooler_config(stack: Stack, farmers: int, blocks: int) -> PoolerConfig:
    """A pooler for a stack."""
    return PoolerConfig(
        targets=Targets(**{name: stack.target(name) for name in SERVICES}),
        public_key=Keypair.random().public_key,
        name="demo",
        farmers=farmers,
        stake_percentage="0.25",
        blocks=blocks,
        closing_seconds=0,
    )


async def fund(rpc_url: str, addresses: list[str]) -> Mapping[str, int]:
    """Asks localnet's faucet for KALE for each farmer; what each was given, in stroops."""
    limit = asyncio.Semaphore(FAUCET_PARALLEL)

    async def give(session: aiohttp.ClientSession, address: str) -> None:
        query = {"addr": address, "amount": str(FUNDING)}
        async with limit, session.get(f"{rpc_url}/kale", params=query) as response:
            if response.status != 200:
                raise RuntimeError(f"the faucet refused: {await response.text()}")

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(give(session, address) for address in addresses))
    return dict.fromkeys(addresses, FUNDING)


async def settled_verdict(
    stack: Stack, funded: Mapping[str, int], read: Callable[[], Awaitable[ChainView]]
) -> Verdict:
    """The comparison, once nothing changes any more: events are recorded after the ledger.

    `read` gives the chain as it is now.
    """
    code, _, issuer = NETWORKS["localnet"].asset.partition(":")
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while True:
        is_late = asyncio.get_running_loop().time() > deadline
        try:
            chain = await read()
            verdict = await compare(
                stack.admin_dsn, stack.rpc_url, Asset(code, issuer), funded, chain
            )
        except AWAY:
            if is_late:
                raise
        else:
            if verdict.equal or is_late:
                return verdict
        await asyncio.sleep(1)


def write_summary(path: Path, result: DemoResult, farmers: int, blocks: int) -> None:
    """The same figures for programs; amounts are strings of stroops, as in the API's JSON."""
    verdict = result.verdict
    amounts = {"funded", "staked", "reward", "stake_returned", "balance"}
    rows = [
        {
            name: str(value) if name in amounts or name == "farmer_id" else value
            for name, value in asdict(farmer).items()
        }
        for farmer in verdict.farmers
    ]
    content = {
        "farmers": farmers,
        "blocks": blocks,
        "equal": verdict.equal,
        "all_farmed": result.all_farmed,
        "compared": verdict.compared,
        "differences": verdict.differences,
        "run": {name: value for name, value in asdict(result.run).items() if name != "pooler_id"},
        "rows": rows,
    }
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def show(console: Console, result: DemoResult) -> None:
    """The table and the verdict."""
    table = Table(
        "farmer", "staked KALE", "zeros", "gap", "reward KALE", "balance KALE", title="All blocks"
    )
    for farmer in result.verdict.farmers:
        table.add_row(
            f"{farmer.address[:6]}…{farmer.address[-4:]}",
            format_kale(farmer.staked),
            str(farmer.zeros),
            str(farmer.gap),
            format_kale(farmer.reward),
            format_kale(farmer.balance),
        )
    console.print(table)
    run_summary, verdict = result.run, result.verdict
    console.print(
        f"{run_summary.planted} planted, {run_summary.worked} worked, "
        f"{run_summary.harvested} harvested, {format_kale(run_summary.rewards)} KALE earned, "
        f"{run_summary.hashes / 1e6:.1f} million hashes",
        highlight=False,
    )
    for difference in verdict.differences:
        console.print(difference, style="red", markup=False)
    word = "equal" if verdict.equal else "NOT equal"
    console.print(
        f"{verdict.compared} events compared with the chain: {word}",
        style="bold green" if verdict.equal else "bold red",
        highlight=False,
    )
    if not result.all_farmed:
        console.print(
            f"not all of the {result.asked} pails were planted, worked and harvested",
            style="bold red",
            highlight=False,
        )
