"""Where work is wired."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from kalepool.work.v1 import work_pb2_grpc

from libs.batches.found import FoundRecorder
from libs.batches.runner import BatchRunner, recover_for_ever
from libs.batches.wallet import WalletClient
from libs.common.clock import SystemClock
from libs.common.db.pool import open_database
from libs.common.grpc.client import open_channel
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.grpc.tls import transport_of
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.work.config import WorkSettings
from services.work.hashing import Hasher
from services.work.servicer import WorkServicer
from services.work.store.store import QUERIES, Store
from services.work.usecases import Submitter


@asynccontextmanager
async def open_app(settings: WorkSettings) -> AsyncIterator[RunningServer]:
    """Runs work while the block runs."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(
                settings.database(),
                queries=QUERIES,
                pool_size=settings.database_pool_size,
                timeout_ms=settings.database_timeout,
                name="work",
            )
        )
        transport = transport_of(settings.tls_files())
        channel = await stack.enter_async_context(
            open_channel(settings.wallet_target, transport, name="wallet")
        )
        wallet = WalletClient(channel, timeout=settings.batch_timeout / 1000)
        store = Store(database)
        runner = BatchRunner("work", store, wallet.work, parallel=settings.parallel_limit)
        stack.push_async_callback(runner.aclose)
        submitter = Submitter(
            store=store,
            runner=runner,
            hasher=Hasher(
                batch_size=settings.max_batch_size,
                parallel=settings.parallel_limit,
                timeout=settings.nonce_validation_timeout / 1000,
            ),
            clock=SystemClock(),
            chunk_size=settings.max_batch_size,
        )
        servicer = WorkServicer(submitter)
        found = FoundRecorder("work", store)
        recovery = asyncio.create_task(
            recover_for_ever(runner, found, interval=settings.recovery_seconds)
        )
        stack.callback(recovery.cancel)
        spec = ServiceSpec(
            name="work",
            full_names=("kalepool.work.v1.WorkService",),
            register=lambda server: work_pb2_grpc.add_WorkServiceServicer_to_server(
                servicer, server
            ),
            kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
            formats=FORMATS,
            access=ACCESS,
            checks={"database": database.is_up, "wallet": wallet.is_serving},
            method_timeouts={"SubmitWork": settings.batch_timeout / 1000},
        )
        yield await stack.enter_async_context(open_server(spec, settings, transport))
