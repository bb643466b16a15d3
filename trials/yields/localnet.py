"""The model beside a real pool: a few blocks on localnet, as it farmed them and as the model does.

The pool farms with its default strategies. The model is told what chance decides (when plants and
works landed, and the zeros that were found) and reckons everything else: what each farmer stakes,
the extremes that the next block counts by, and what each farmer is paid. What was paid is read from
the chain alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from client import Block, open_client
from devstack.chain_view import ChainView, read_chain
from devstack.farmers import pooler_config, settle
from devstack.stack import Progress, Stack, StackConfig, open_stack
from libs.kale.amounts import stake_amount
from libs.kale.constants import STROOPS_PER_KALE
from libs.kale.reward import BlockStats
from pooler.config import PoolerConfig
from pooler.memory import stats_of
from pooler.run import RunSummary, run
from pooler.strategies.choice import StrategyNames
from pooler.strategies.model import StakeFacts
from pooler.strategies.stake import full
from trials.machine import Origin, origin
from trials.yields.contract import Part, Work, close_block

#: Part by which a figure of the model may differ.
TOLERANCE = 0.01
#: Of their KALE, what farmers have agreed to stake.
_AGREED_BPS = 5_000
#: KALE that a farmer is given beyond all others, for each farmer before it: stakes differ.
_MORE = 40
_DIRECTORY = Path("var") / "yield-localnet"


@dataclass(frozen=True, kw_only=True)
class LocalnetPlan:
    """The settings of the run."""

    #: Farmers, and blocks that they farm.
    farmers: int
    blocks: int
    #: Seconds of a block, and of a ledger.
    block_seconds: int
    ledger_seconds: float
    #: The command line, for the report.
    command: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One farmer in one block, in stroops of KALE."""

    #: The block, and the farmer's address.
    block: int
    farmer: str
    #: What it staked and was paid, on the chain.
    stake: int
    paid: int
    #: The same by the model.
    model_stake: int
    model_paid: int


@dataclass(frozen=True, kw_only=True)
class LocalnetResult:
    """The run beside the model."""

    #: Machine, versions, commit.
    origin: Origin
    #: The settings.
    plan: LocalnetPlan
    #: What the pooler tells of its run.
    run: RunSummary
    #: Each farmer in each block.
    pairs: Sequence[Pair]

    @property
    def unworked(self) -> int:
        """Return how many plants had no work in time."""
        return self.run.planted - self.run.worked

    @property
    def is_within(self) -> bool:
        """Tell whether all was farmed, and the model is right within the tolerance."""
        whole = len(self.pairs) == self.plan.farmers * self.plan.blocks
        return whole and not self.unworked and max(self.errors.values()) <= TOLERANCE

    @property
    def errors(self) -> Mapping[str, float]:
        """Return the parts by which the model differs from the chain."""
        pairs = self.pairs
        return {
            "KALE paid per farmer and block": _error(
                sum(one.model_paid for one in pairs), sum(one.paid for one in pairs)
            ),
            "KALE staked per farmer and block": _error(
                sum(one.model_stake for one in pairs), sum(one.stake for one in pairs)
            ),
            "KALE paid to one farmer in one block, at most": max(
                (_error(one.model_paid, one.paid) for one in pairs), default=1.0
            ),
            "KALE staked by one farmer in one block, at most": max(
                (_error(one.model_stake, one.stake) for one in pairs), default=1.0
            ),
        }


async def run_localnet(plan: LocalnetPlan, progress: Progress) -> LocalnetResult:
    """Farm the blocks on a pool of its own, and reckon them by the model."""
    stack_config = StackConfig(
        directory=_DIRECTORY,
        ledger_seconds=plan.ledger_seconds,
        block_seconds=plan.block_seconds,
    )
    async with open_stack(stack_config, progress) as stack:
        config = replace(
            pooler_config(stack, plan.farmers, plan.blocks),
            stake_percentage=f"{_AGREED_BPS / 10_000}",
            strategies=StrategyNames(),
        )
        config, given = await settle(stack, config, lambda _: None, progress)
        funded = await _fund_unequally(stack, given)
        progress(f"farming {plan.blocks} blocks")
        summary = await run(config)
        chain = await read_chain(stack.rpc_url)
        first = await _block(config, summary.blocks[0])
        stack.check()
    return LocalnetResult(
        origin=await origin(),
        plan=plan,
        run=summary,
        pairs=list(compare(chain, funded, summary.blocks, stats_of(first))),
    )


def compare(
    chain: ChainView, funded: Mapping[str, int], blocks: Sequence[int], bounds: BlockStats
) -> Iterator[Pair]:
    """Yield each farmer in each block, by the chain and by the model.

    `bounds` has the extremes that the first block counts by. The stakes of the first block, in
    which the pooler may not know the farmers' KALE yet, are taken from the chain.
    """
    stakes = {name: chain.plants[name, blocks[0]].stake for name in funded}
    totals, unpaid = dict(funded), dict[str, int]()
    for index in blocks:
        parts = [_part(chain, name, index, stakes[name]) for name in funded]
        closed = close_block(
            replace(bounds, staked_total=0, normalized_total=0), parts, index=index
        )
        paid = dict(zip(funded, closed.rewards, strict=True))
        for name in funded:
            plant = chain.plants.get((name, index))
            yield Pair(
                block=index,
                farmer=name,
                stake=plant.stake if plant else 0,
                paid=chain.harvests.get((name, index), 0),
                model_stake=stakes[name],
                model_paid=paid[name],
            )
        # Planted before this block is harvested, and after the one before it was.
        totals = {name: total + unpaid.get(name, 0) for name, total in totals.items()}
        stakes = {
            name: _next_stake(total, locked=stakes[name], max_stake=bounds.max_stake)
            for name, total in totals.items()
        }
        bounds, unpaid = closed.following, paid


def _part(chain: ChainView, name: str, index: int, stake: int) -> Part:
    work = chain.works.get((name, index))
    works = (Work(gap=work.gap, zeros=work.zeros),) if work else ()
    return Part(farmers=1, stake=stake, works=works)


def _next_stake(total: int, *, locked: int, max_stake: int) -> int:
    balance = total - locked
    agreed = stake_amount(balance, _AGREED_BPS)
    return full(StakeFacts(balance=balance, locked=locked, agreed=agreed, max_stake=max_stake))


def _error(model: int, real: int) -> float:
    return abs(model - real) / max(1, real)


async def _block(config: PoolerConfig, index: int) -> Block:
    async with open_client(config.targets, config.caller()) as client:
        block = (await client.block(index)).block
    if block is None:
        raise RuntimeError(f"wallet has no block {index}")
    return block


async def _fund_unequally(stack: Stack, given: Mapping[str, int]) -> Mapping[str, int]:
    """Give each farmer more than the one before; return what each has in stroops."""
    funded = dict(given)
    async with aiohttp.ClientSession() as session:
        for number, address in enumerate(given):
            more = number * _MORE * STROOPS_PER_KALE
            if not more:
                continue
            query = {"addr": address, "amount": str(more)}
            async with session.get(f"{stack.rpc_url}/kale", params=query) as response:
                if response.status != 200:
                    raise RuntimeError(f"the faucet refused: {await response.text()}")
            funded[address] += more
    return funded
