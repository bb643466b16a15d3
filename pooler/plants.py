"""Who is planted in a block, with what stake: the strategies' facts, and what follows from them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from client import Block, FarmerId, FarmerOutcome, PoolClient, PoolerId
from libs.kale.amounts import stake_amount
from pooler.memory import Memory, stats_of
from pooler.strategies.model import StakeFacts, Strategies
from pooler.strategies.profit import Outlook, Prices, weight_in, who_takes_part


@dataclass(frozen=True, kw_only=True)
class Purse:
    """What a farmer may stake of."""

    #: Stroops of KALE, stakes that are planted not counted.
    balance: int
    #: Ten-thousandths of it that were agreed.
    stake_bps: int


@dataclass(frozen=True, kw_only=True)
class PlantChoice:
    """What a pooler asks for in a block."""

    #: Stroops of KALE by farmer.
    stakes: Mapping[FarmerId, int]
    #: Farmers that sit the block out.
    sitting_out: frozenset[FarmerId] = frozenset()

    @property
    def is_for_nobody(self) -> bool:
        """Tell whether there are farmers and all of them sit out."""
        return bool(self.stakes) and self.sitting_out.issuperset(self.stakes)


async def read_purses(client: PoolClient, pooler_id: PoolerId) -> dict[FarmerId, Purse]:
    """Read what the pooler's active farmers have and agreed to. Raise PoolError."""
    balances = {farmer: kale async for farmer, kale in client.balances(pooler_id)}
    return {
        one.farmer_id: Purse(balance=balances.get(one.farmer_id, 0), stake_bps=one.stake_bps)
        async for one in client.farmers(pooler_id)
        if one.is_active and one.is_funded
    }


def after_plants(
    purses: Mapping[FarmerId, Purse], planted: Iterable[FarmerOutcome]
) -> dict[FarmerId, Purse]:
    """Return what farmers have once they have planted."""
    left = dict(purses)
    for one in planted:
        purse = left.get(one.farmer_id)
        if purse is not None:
            left[one.farmer_id] = replace(purse, balance=max(0, purse.balance - one.amount))
    return left


def choose(
    strategies: Strategies,
    purses: Mapping[FarmerId, Purse],
    *,
    index: int,
    block: Block | None,
    locked: Mapping[FarmerId, int],
    memory: Memory,
    prices: Prices,
) -> PlantChoice:
    """Choose stakes and farmers of block `index`.

    `block` is the one before, whose extremes are the best guess of the next one's; None when there
    is none. `locked` are the stroops of plants that are not harvested.
    """
    stakes = {
        farmer: stake_of(strategies, purse, block=block, locked=locked.get(farmer, 0))
        for farmer, purse in purses.items()
    }
    return PlantChoice(
        stakes=stakes,
        sitting_out=_sitting_out(
            strategies, stakes, index=index, block=block, memory=memory, prices=prices
        ),
    )


def stake_of(strategies: Strategies, purse: Purse, *, block: Block | None, locked: int) -> int:
    """Return the stroops that a farmer stakes: never more than it has and agreed to."""
    agreed = stake_amount(purse.balance, purse.stake_bps)
    facts = StakeFacts(
        balance=purse.balance,
        locked=locked,
        agreed=agreed,
        max_stake=None if block is None else block.max_stake,
    )
    return max(0, min(agreed, int(strategies.stake(facts))))


def short_of(
    strategies: Strategies,
    purses: Mapping[FarmerId, Purse],
    *,
    block: Block | None,
    locked: Mapping[FarmerId, int],
    closed: Mapping[FarmerId, int],
) -> int:
    """Return the stroops by which next plants would be less if closed blocks were not harvested.

    `closed` are the stroops that their harvest gives back; they are part of `locked`.
    """
    short = 0
    for farmer, purse in purses.items():
        back = closed.get(farmer, 0)
        all_locked = locked.get(farmer, 0)
        waiting = stake_of(strategies, purse, block=block, locked=all_locked)
        richer = Purse(balance=purse.balance + back, stake_bps=purse.stake_bps)
        harvested = stake_of(strategies, richer, block=block, locked=all_locked - back)
        short += max(0, harvested - waiting)
    return short


def _sitting_out(
    strategies: Strategies,
    stakes: Mapping[FarmerId, int],
    *,
    index: int,
    block: Block | None,
    memory: Memory,
    prices: Prices,
) -> frozenset[FarmerId]:
    """Return the farmers that the gate leaves out; nobody before a block was farmed."""
    last = memory.last
    if last is None or block is None or not block.normalized_total or not memory.fees.all:
        return frozenset()
    done = list(last.done.values())
    gap = round(sum(one.gap for one in done) / len(done))
    zeros = sum(one.zeros for one in done) / len(done)
    closed = stats_of(block)
    ours = ((one.gap, one.stake, one.zeros) for one in done)
    farmers = list(stakes)
    takes_part = who_takes_part(
        strategies.gate,
        closed,
        index=index,
        ours=weight_in(closed, ours) if last.block.index == block.index else 0,
        outlooks=[
            Outlook(gap=gap, stake=stakes[farmer], zeros=zeros, fees=memory.fees.all)
            for farmer in farmers
        ],
        prices=prices,
    )
    return frozenset(farmer for farmer, takes in zip(farmers, takes_part, strict=True) if not takes)


def locked_by(
    held: Mapping[int, Mapping[FarmerId, int]], blocks: Collection[int] | None = None
) -> dict[FarmerId, int]:
    """Return the stroops by farmer that blocks hold: all of them, or those named."""
    locked: dict[FarmerId, int] = {}
    for index, stakes in held.items():
        if blocks is not None and index not in blocks:
            continue
        for farmer, stake in stakes.items():
            locked[farmer] = locked.get(farmer, 0) + stake
    return locked
