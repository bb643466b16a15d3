"""What a service with batches gets, and what is left once it has ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from pydantic import SecretStr

from libs.batches.app import BatchParts, open_batches
from libs.batches.model import Chunk
from libs.batches.wallet import WalletClient
from libs.common.errors import PoolError
from libs.common.ids import FarmerId
from services.plant.config import PlantSettings
from services.plant.store.store import MIGRATIONS, QUERIES, Store
from tests.support.batch_tables import SERVICES, open_tables
from tests.support.database import DatabaseAccess
from tests.support.fake_wallet import fake_wallet

Sent = Chunk[tuple[FarmerId, int]]
Parts = BatchParts[Store, tuple[FarmerId, int]]
PLANT = SERVICES[0]


def opened(
    database: DatabaseAccess,
    submit: Callable[[WalletClient, Sent], Awaitable[None]] = WalletClient.plant,
    **settings: Any,
) -> AbstractAsyncContextManager[Parts]:
    """The parts of plant, whose recovery does not look again while a test runs."""
    chosen = PlantSettings(
        transport="plaintext",
        database_url=SecretStr(database.dsn("plant")),
        recovery_seconds=60,
        **settings,
    )
    return open_batches(
        chosen, name="plant", queries=QUERIES, migrations=MIGRATIONS, store=Store, submit=submit
    )


async def test_the_health_check_asks_the_database_and_wallet(database: DatabaseAccess) -> None:
    async with (
        fake_wallet(database.admin_dsn) as (_, target),
        opened(database, wallet_target=target) as parts,
    ):
        assert list(parts.checks) == ["database", "wallet"]
        for check in parts.checks.values():
            assert await check()


async def test_what_runs_ends_with_the_service(database: DatabaseAccess) -> None:
    begun = asyncio.Event()

    async def never(_: WalletClient, chunk: Sent) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with open_tables(PLANT, database) as tables:
        batch_id = await tables.batch(await tables.people(1))
        before = asyncio.all_tasks()
        async with opened(database, never, wallet_target="127.0.0.1:1") as parts:
            caller = asyncio.create_task(parts.runner.run(batch_id))
            await begun.wait()
        await asyncio.wait([caller], timeout=5)
        assert caller.cancelled()
        assert asyncio.all_tasks() <= before


async def test_wallet_is_waited_for_as_long_as_the_setting_says(database: DatabaseAccess) -> None:
    waited = asyncio.get_running_loop().create_future()

    async def plant(wallet: WalletClient, chunk: Sent) -> None:
        begun = time.monotonic()
        with pytest.raises(PoolError):
            await wallet.plant(chunk)
        if not waited.done():
            waited.set_result(time.monotonic() - begun)
        await asyncio.Event().wait()

    async with (
        fake_wallet(database.admin_dsn) as (wallet, target),
        open_tables(PLANT, database) as tables,
    ):
        people = await tables.people(1)
        wallet.faults.hanging.add(people[0].farmer_id)
        batch_id = await tables.batch(people)
        async with opened(database, plant, wallet_target=target, batch_timeout=200) as parts:
            caller = asyncio.create_task(parts.runner.run(batch_id))
            async with asyncio.timeout(10):
                assert await waited >= 0.2
        wallet.faults.go_on.set()
        await asyncio.wait([caller])
