"""A pooler's first steps: the pooler and its farmers are registered, and accounts awaited."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from client.pool import PoolClient
from libs.common.errors import AlreadyExistsError
from libs.common.ids import PoolerId

#: Farmers that are registered at the same time.
_REGISTRATIONS = 16


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """The pooler and the farmers that there shall be."""

    #: Id of a pooler that is registered already; wins over public_key.
    pooler_id: PoolerId | None = None
    #: The pooler's own Stellar account (G...); it is registered under it, or found by it.
    public_key: str = ""
    #: Name to register the pooler by.
    name: str = "pooler"
    #: Farmers that the pooler shall have at least; missing ones are registered.
    farmers: int = 0
    #: Stake of farmers that are registered now: a decimal from "0" to "1".
    stake_percentage: str = "0.1"
    #: Seconds to wait until the farmers' accounts are on the chain.
    onboarding_seconds: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """How far an enrolment has come."""

    #: The pooler's id.
    pooler_id: PoolerId
    #: Active farmers.
    farmers: int
    #: Active farmers that have their account on the chain.
    funded: int


async def enrol(
    client: PoolClient,
    wanted: Enrolment,
    observe: Callable[[Enrolled], None] = lambda _enrolled: None,
) -> PoolerId:
    """Register the pooler and farmers that are missing, and wait for the farmers' accounts.

    `observe` is told about once a second how many have their account.
    """
    pooler_id = await _pooler(client, wanted)
    slots = asyncio.Semaphore(_REGISTRATIONS)

    async def register(number: int) -> None:
        async with slots:
            await client.register_farmer(
                pooler_id,
                stake_percentage=wanted.stake_percentage,
                # The same number is the same farmer, also after a crash in the middle.
                request_id=f"farmer-{number}",
            )

    async def missing() -> int:
        return wanted.farmers - len([farmer async for farmer in client.farmers(pooler_id)])

    last = wanted.farmers + 1
    if (count := await missing()) > 0:
        await asyncio.gather(*map(register, range(last - count, last)))
        if await missing() > 0:
            # A run before was stopped between two registrations: one of these numbers was taken.
            await asyncio.gather(*map(register, range(1, last)))
    await _funded(client, wanted, pooler_id, observe)
    return pooler_id


async def _pooler(client: PoolClient, wanted: Enrolment) -> PoolerId:
    if wanted.pooler_id is not None:
        return wanted.pooler_id
    async for pooler in client.poolers():
        if pooler.public_key == wanted.public_key:
            return pooler.pooler_id
    try:
        registered = await client.register_pooler(
            name=wanted.name,
            public_key=wanted.public_key,
            request_id=f"pooler-{wanted.public_key}",
        )
    except AlreadyExistsError:
        # Registered by somebody else with the same key since the list was read.
        return await _pooler(client, wanted)
    return registered.pooler_id


async def _funded(
    client: PoolClient,
    wanted: Enrolment,
    pooler_id: PoolerId,
    observe: Callable[[Enrolled], None],
) -> None:
    """Wait until all accounts are on the chain, for as long as the caller wants to wait."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wanted.onboarding_seconds):
            while True:
                farmers = [one async for one in client.farmers(pooler_id) if one.is_active]
                funded = sum(farmer.is_funded for farmer in farmers)
                observe(Enrolled(pooler_id=pooler_id, farmers=len(farmers), funded=funded))
                if funded == len(farmers) >= wanted.farmers:
                    return
                await asyncio.sleep(1)
