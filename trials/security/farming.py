"""A real block of a few farmers, with withdrawals: the operations that use secrets."""

from dataclasses import dataclass, replace

from kalepool.wallet.v1 import wallet_pb2

from devstack.farmers import pooler_config, settle
from devstack.pool_calls import open_pool_caller
from devstack.stack import Progress, Stack
from devstack.wallet_calls import open_caller
from pooler.config import PoolerConfig
from pooler.run import run

#: Number of farmers.
FARMERS = 3
#: Stroops of KALE that each farmer withdraws.
WITHDRAWN = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Farmed:
    """The operations that succeeded."""

    #: Plants, works and harvests; one farmer opens the next block, too.
    planted: int
    worked: int
    harvested: int
    #: Withdrawals that are on the chain.
    withdrawn: int

    @property
    def is_whole(self) -> bool:
        """Tell whether every farmer completed all operations."""
        return min(self.planted, self.worked, self.harvested, self.withdrawn) >= FARMERS


async def farm(stack: Stack, progress: Progress) -> Farmed:
    """Register, plant, work, harvest and withdraw; the pool must have no cooldown for payouts."""
    config = replace(pooler_config(stack, FARMERS, blocks=1), threads=1)
    config, _ = await settle(stack, config, lambda _event: None, progress)
    progress("farming a block")
    summary = await run(config)
    return Farmed(
        planted=summary.planted,
        worked=summary.worked,
        harvested=summary.harvested,
        withdrawn=await _withdraw(stack, config),
    )


async def _withdraw(stack: Stack, config: PoolerConfig) -> int:
    """Send some KALE from each farmer to the next; return how many payments are on the chain."""
    async with open_pool_caller(config) as pool, open_caller(stack, ["wallet"]) as wallet:
        farmers = await pool.farmers()
        for farmer, payee in zip(farmers, [*farmers[1:], farmers[0]], strict=True):
            await wallet.pay_out_to([farmer], payee.address)
        operations = await wallet.withdraw("security", farmers, WITHDRAWN)
    return sum(one.state == wallet_pb2.OPERATION_STATE_SUCCEEDED for one in operations)
