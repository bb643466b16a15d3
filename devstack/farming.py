"""A farming run: a pool farms some blocks, then its records are compared with the chain."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from devstack.chain_view import read_chain
from devstack.check import Verdict, settled_verdict
from devstack.farmers import pooler_config, settle
from devstack.stack import Progress, Stack
from pooler.config import PoolerConfig
from pooler.events import Observer
from pooler.run import RunSummary, run
from pooler.shares.config import SharesSettings


@dataclass(frozen=True, kw_only=True)
class FarmResult:
    """The result of farming some blocks."""

    #: The pooler's summary.
    run: RunSummary
    #: The result of the comparison.
    verdict: Verdict
    #: Farmers times blocks.
    asked: int
    #: The pooler's settings.
    config: PoolerConfig

    @property
    def all_farmed(self) -> bool:
        """Tell whether everybody was planted and harvested in every block, without a lost stake."""
        run = self.run
        return (
            min(run.planted, run.harvested) >= self.asked
            and run.worked == run.planted
            and run.still_pending == 0
        )

    @property
    def passed(self) -> bool:
        """Tell whether all was farmed, and the records are what is on the chain."""
        return self.all_farmed and self.verdict.equal


async def farm(
    stack: Stack,
    farmers: int,
    blocks: int,
    observe: Observer,
    progress: Progress,
    *,
    shares: SharesSettings | None = None,
    prepare: Callable[[PoolerConfig], Awaitable[PoolerConfig]] | None = None,
) -> FarmResult:
    """Register, fund, farm and compare on a running pool; with `shares`, miners are served, too.

    `prepare` is done before farmers are registered, and returns the pooler's settings.
    """
    wanted = pooler_config(stack, farmers, blocks)
    if prepare is not None:
        wanted = await prepare(wanted)
    config, funded = await settle(stack, wanted, observe, progress)
    progress("farming")
    summary = await run(replace(config, shares=shares), observe)
    progress("comparing the records with the chain")
    verdict = await settled_verdict(stack, funded, partial(read_chain, stack.rpc_url))
    stack.check()
    return FarmResult(run=summary, verdict=verdict, asked=farmers * blocks, config=config)
