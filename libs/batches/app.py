"""The wiring that all services with batches have: database, wallet, runner and recovery."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc

from libs.batches.config import BatchSettings
from libs.batches.found import FoundRecorder
from libs.batches.model import Chunk, Judge
from libs.batches.runner import BatchRunner, recover_for_ever
from libs.batches.store import BatchTables
from libs.batches.wallet import WalletClient
from libs.common.db.of_service import open_database_of
from libs.common.db.pool import Database
from libs.common.db.schemas import Release
from libs.common.grpc.client import open_channel
from libs.common.grpc.tls import Transport, transport_of

ItemT = TypeVar("ItemT")
StoreT = TypeVar("StoreT", bound=BatchTables[Any, Any])


@dataclass(frozen=True, kw_only=True)
class BatchParts(Generic[StoreT, ItemT]):
    """The parts that a service builds its use cases on."""

    #: Its tables.
    store: StoreT
    #: Runs batches through wallet.
    runner: BatchRunner[ItemT]
    #: Its connection to wallet.
    wallet: grpc.aio.Channel
    #: The security of its connections, in both directions.
    transport: Transport
    #: Checks of what it cannot do without, for the health check.
    checks: Mapping[str, Callable[[], Awaitable[bool]]]


@asynccontextmanager
async def open_batches(
    settings: BatchSettings,
    *,
    name: str,
    queries: Sequence[Path],
    migrations: Path,
    store: Callable[[Database, Judge], StoreT],
    submit: Callable[[WalletClient, Chunk[ItemT]], Awaitable[None]],
) -> AsyncIterator[BatchParts[StoreT, ItemT]]:
    """Run the open batches, and record found events, while the block runs.

    `name` is the service's, and `submit` is wallet's method for a chunk of its items.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database_of(
                settings,
                queries=queries,
                name=name,
                release=Release.of(name, migrations),
            )
        )
        transport = transport_of(settings.tls_files())
        channel = await stack.enter_async_context(
            open_channel(settings.wallet_target, transport, name="wallet")
        )
        wallet = WalletClient(channel, timeout=settings.batch_timeout / 1000)
        tables = store(database, wallet)
        runner: BatchRunner[ItemT] = BatchRunner(
            name, tables, partial(submit, wallet), parallel=settings.parallel_limit
        )
        stack.push_async_callback(runner.aclose)
        recovery = asyncio.create_task(
            recover_for_ever(
                runner, FoundRecorder(name, tables), interval=settings.recovery_seconds
            )
        )
        stack.callback(recovery.cancel)
        yield BatchParts(
            store=tables,
            runner=runner,
            wallet=channel,
            transport=transport,
            checks={"database": database.is_up, "wallet": wallet.is_serving},
        )
