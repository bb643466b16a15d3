"""A block's calls to the whole pool, as a pooler makes them, for fault runs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from client import (
    BatchSummary,
    FarmerId,
    MinersPot,
    MinersTold,
    PoolClient,
    PoolerId,
    Submission,
    open_client,
)
from devstack.wallet_calls import Farmer, Shown
from pooler.config import PoolerConfig

#: Seconds for which a call is repeated while services come back.
PATIENCE = 120.0


class PoolCaller:
    """The calls of one pooler; each is repeated until the pool has an answer."""

    def __init__(self, client: PoolClient, pooler_id: PoolerId) -> None:
        self._client = client
        self._pooler_id = pooler_id

    async def farmers(self) -> list[Farmer]:
        """List all farmers of the pooler, in the order of registration."""
        return [
            Farmer(id=str(one.farmer_id), address=one.address)
            async for one in self._client.farmers(self._pooler_id)
        ]

    async def plant(self, _name: str, block: int, _stakes: Mapping[Farmer, int], /) -> BatchSummary:
        """Plant all of the pooler's farmers, with the stakes that the pool works out."""
        return await self._client.plant(self._pooler_id, block, farmers=0, patience=PATIENCE)

    async def work(self, _name: str, shown: Sequence[Shown], block: int, /) -> BatchSummary:
        """Submit the nonces."""
        found = [
            Submission(
                farmer_id=FarmerId(UUID(item.farmer.id)),
                nonce=item.nonce,
                found_at=datetime.now(UTC),
            )
            for item in shown
        ]
        return await self._client.submit_work(self._pooler_id, block, found, patience=PATIENCE)

    async def harvest(self, _name: str, block: int, _farmers: Sequence[Farmer], /) -> BatchSummary:
        """Harvest all that was worked."""
        return await self._client.harvest(self._pooler_id, block, patience=PATIENCE)

    async def credit(self, block: int, points: Mapping[str, int], /) -> MinersPot:
        """Tell what miners did in a block, by their addresses, once; it may be told again."""
        return await self._client.credit_miners(
            MinersTold(pooler_id=self._pooler_id, block_index=block, points=points)
        )


@asynccontextmanager
async def open_pool_caller(config: PoolerConfig) -> AsyncIterator[PoolCaller]:
    """Open the calls of a pooler that is registered, under its own certificate."""
    if config.pooler_id is None:
        raise ValueError("the pooler is not registered")
    async with open_client(config.targets, config.caller()) as client:
        yield PoolCaller(client, PoolerId(config.pooler_id))
