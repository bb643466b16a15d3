"""Where harvest is wired."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from kalepool.harvest.v1 import harvest_pb2_grpc

from libs.batches.found import FoundRecorder
from libs.batches.runner import BatchRunner, recover_for_ever
from libs.batches.wallet import WalletClient
from libs.common.db.pool import open_database
from libs.common.grpc.access import Owned
from libs.common.grpc.client import open_channel
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.grpc.tls import transport_of
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.harvest.config import HarvestSettings
from services.harvest.loops import sweep_for_ever
from services.harvest.servicer import HarvestServicer
from services.harvest.store.store import QUERIES, Store
from services.harvest.usecases import Harvester


@asynccontextmanager
async def open_app(settings: HarvestSettings) -> AsyncIterator[RunningServer]:
    """Runs harvest while the block runs."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(
                settings.database(),
                queries=QUERIES,
                pool_size=settings.database_pool_size,
                timeout_ms=settings.database_timeout,
                name="harvest",
            )
        )
        transport = transport_of(settings.tls_files())
        channel = await stack.enter_async_context(
            open_channel(settings.wallet_target, transport, name="wallet")
        )
        wallet = WalletClient(channel, timeout=settings.batch_timeout / 1000)
        store = Store(database)
        runner = BatchRunner("harvest", store, wallet.harvest, parallel=settings.parallel_limit)
        stack.push_async_callback(runner.aclose)
        harvester = Harvester(
            store=store,
            runner=runner,
            chunk_size=settings.max_batch_size,
            patience=settings.harvest_patience_seconds,
        )
        servicer = HarvestServicer(harvester)
        found = FoundRecorder("harvest", store)
        recovery = asyncio.create_task(
            recover_for_ever(runner, found, interval=settings.recovery_seconds)
        )
        stack.callback(recovery.cancel)
        if settings.harvest_sweep_seconds > 0:
            sweep = asyncio.create_task(
                sweep_for_ever(harvester, interval=settings.harvest_sweep_seconds)
            )
            stack.callback(sweep.cancel)
        spec = ServiceSpec(
            name="harvest",
            full_names=("kalepool.harvest.v1.HarvestService",),
            register=lambda server: harvest_pb2_grpc.add_HarvestServiceServicer_to_server(
                servicer, server
            ),
            kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
            formats=FORMATS,
            access=ACCESS,
            owners={Owned.FARMER: store.owners_of_farmers},
            checks={"database": database.is_up, "wallet": wallet.is_serving},
            method_timeouts={
                "Harvest": settings.batch_timeout / 1000,
                "HarvestPending": settings.batch_timeout / 1000,
            },
        )
        yield await stack.enter_async_context(open_server(spec, settings, transport))
