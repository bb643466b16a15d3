"""A block's calls to the whole pool, as a pooler makes them, for fault runs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from devstack.wallet_calls import Farmer, Shown
from libs.common.grpc.tls import transport_of
from libs.common.ids import FarmerId, PoolerId
from libs.kale.hash import leading_zeros
from pooler.client import PoolClient, open_client
from pooler.config import PoolerConfig
from pooler.miner import Found
from pooler.model import BatchSummary

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
            Found(
                farmer_id=FarmerId(UUID(item.farmer.id)),
                nonce=item.nonce,
                zeros=leading_zeros(item.hash),
                digest=item.hash,
                found_at=datetime.now(UTC),
            )
            for item in shown
        ]
        return await self._client.submit_work(self._pooler_id, block, found, patience=PATIENCE)

    async def harvest(self, _name: str, block: int, _farmers: Sequence[Farmer], /) -> BatchSummary:
        """Harvest all that was worked."""
        return await self._client.harvest(self._pooler_id, block, patience=PATIENCE)


@asynccontextmanager
async def open_pool_caller(config: PoolerConfig) -> AsyncIterator[PoolCaller]:
    """Open the calls of a pooler that is registered, under its own certificate."""
    if config.pooler_id is None:
        raise ValueError("the pooler is not registered")
    async with open_client(config.targets, transport_of(config.tls)) as client:
        yield PoolCaller(client, PoolerId(config.pooler_id))
