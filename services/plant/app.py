"""Where plant is wired."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from kalepool.plant.v1 import plant_pb2_grpc

from libs.batches.found import FoundRecorder
from libs.batches.runner import BatchRunner, recover_for_ever
from libs.batches.wallet import WalletClient
from libs.common.db.pool import open_database
from libs.common.grpc.client import open_channel
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.grpc.tls import transport_of
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.plant.config import PlantSettings
from services.plant.servicer import PlantServicer
from services.plant.store.store import QUERIES, Store
from services.plant.usecases import Planter


@asynccontextmanager
async def open_app(settings: PlantSettings) -> AsyncIterator[RunningServer]:
    """Runs plant while the block runs."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(
                settings.database(),
                queries=QUERIES,
                pool_size=settings.database_pool_size,
                timeout_ms=settings.database_timeout,
                name="plant",
            )
        )
        transport = transport_of(settings.tls_files())
        channel = await stack.enter_async_context(
            open_channel(settings.wallet_target, transport, name="wallet")
        )
        wallet = WalletClient(channel, timeout=settings.batch_timeout / 1000)
        store = Store(database)
        runner = BatchRunner("plant", store, wallet.plant, parallel=settings.parallel_limit)
        stack.push_async_callback(runner.aclose)
        planter = Planter(store=store, runner=runner, chunk_size=settings.max_batch_size)
        servicer = PlantServicer(planter, max_farmers=settings.max_farmers)
        found = FoundRecorder("plant", store)
        recovery = asyncio.create_task(
            recover_for_ever(runner, found, interval=settings.recovery_seconds)
        )
        stack.callback(recovery.cancel)
        spec = ServiceSpec(
            name="plant",
            full_names=("kalepool.plant.v1.PlantService",),
            register=lambda server: plant_pb2_grpc.add_PlantServiceServicer_to_server(
                servicer, server
            ),
            kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
            formats=FORMATS,
            access=ACCESS,
            checks={"database": database.is_up, "wallet": wallet.is_serving},
            method_timeouts={"Plant": settings.batch_timeout / 1000},
        )
        yield await stack.enter_async_context(open_server(spec, settings, transport))
