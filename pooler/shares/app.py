"""Wiring of the work for miners: the database, the rules, what runs in the background, the door."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from libs.common.errors import PoolError
from pooler.shares.config import SharesSettings
from pooler.shares.crediting import open_crediting
from pooler.shares.dividing import Payer
from pooler.shares.door.app import open_door
from pooler.shares.service import Shares
from pooler.shares.store.opening import open_store
from pooler.shares.store.store import Store
from pooler.shares.upkeep import Upkeep


@asynccontextmanager
async def open_shares(
    settings: SharesSettings,
    store: Store,
    *,
    payer: Payer | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Shares]:
    """Have the work for miners while the block runs.

    `payer` takes miners' parts of blocks; without one they stay in the database. Raise
    UnavailableError while the database is away.
    """
    job_key = await store.job_key()
    async with open_crediting(store) as crediting:
        shares = Shares(settings, store, crediting, job_key, clock)
        upkeep = Upkeep(shares)
        running = [asyncio.create_task(upkeep.run())]
        if payer is not None:
            running.append(asyncio.create_task(shares.dividing.keep_handing_on(payer)))
        try:
            yield shares
        finally:
            shares.streams.close_all()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            with suppress(PoolError):  # the database is away: these figures may lag behind
                await upkeep.write()


@asynccontextmanager
async def open_app(
    settings: SharesSettings,
    *,
    payer: Payer | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[tuple[Shares, int]]:
    """Serve miners while the block runs; yield the work for them, and the port.

    Raise WrongDatabaseError, UnavailableError, or ListenError for a port that is taken.
    """
    async with (
        open_store(settings.place, authority=settings.shares_database_ca_file) as store,
        open_shares(settings, store, payer=payer, clock=clock) as shares,
        open_door(shares) as port,
    ):
        yield shares, port
