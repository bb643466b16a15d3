"""The pooler's first steps: the pooler and its farmers are registered, and accounts awaited."""

import asyncio
from contextlib import suppress

from libs.common.errors import AlreadyExistsError
from libs.common.ids import PoolerId
from pooler.client import PoolClient
from pooler.config import PoolerConfig
from pooler.events import Observer, Registered

#: Farmers that are registered at the same time.
_REGISTRATIONS = 16


async def enrol(client: PoolClient, config: PoolerConfig, observe: Observer) -> PoolerId:
    """Register the pooler and farmers that are missing, and wait for the farmers' accounts."""
    pooler_id = await _pooler(client, config)
    slots = asyncio.Semaphore(_REGISTRATIONS)

    async def register(number: int) -> None:
        async with slots:
            await client.register_farmer(
                pooler_id,
                stake_percentage=config.stake_percentage,
                # The same number is the same farmer, also after a crash in the middle.
                request_id=f"farmer-{number}",
            )

    async def missing() -> int:
        return config.farmers - len([farmer async for farmer in client.farmers(pooler_id)])

    last = config.farmers + 1
    if (wanted := await missing()) > 0:
        await asyncio.gather(*map(register, range(last - wanted, last)))
        if await missing() > 0:
            # A run before was stopped between two registrations: one of these numbers was taken.
            await asyncio.gather(*map(register, range(1, last)))
    await _funded(client, config, pooler_id, observe)
    return pooler_id


async def _pooler(client: PoolClient, config: PoolerConfig) -> PoolerId:
    if config.pooler_id is not None:
        return PoolerId(config.pooler_id)
    async for pooler in client.poolers():
        if pooler.public_key == config.public_key:
            return pooler.pooler_id
    try:
        registered = await client.register_pooler(
            name=config.name,
            public_key=config.public_key,
            request_id=f"pooler-{config.public_key}",
        )
    except AlreadyExistsError:
        # Registered by somebody else with the same key since the list was read.
        return await _pooler(client, config)
    return registered.pooler_id


async def _funded(
    client: PoolClient, config: PoolerConfig, pooler_id: PoolerId, observe: Observer
) -> None:
    """Wait until all accounts are on the chain, for as long as the operator wants to wait."""
    with suppress(TimeoutError):
        async with asyncio.timeout(config.onboarding_seconds):
            while True:
                farmers = [one async for one in client.farmers(pooler_id) if one.is_active]
                funded = sum(farmer.is_funded for farmer in farmers)
                observe(Registered(pooler_id=pooler_id, farmers=len(farmers), funded=funded))
                if funded == len(farmers) >= config.farmers:
                    return
                await asyncio.sleep(1)
