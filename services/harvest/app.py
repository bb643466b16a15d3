"""Wiring of harvest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from kalepool.harvest.v1 import harvest_pb2_grpc

from libs.batches.app import open_batches
from libs.batches.wallet import WalletClient
from libs.common.grpc.access import Owned
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
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
    """Run harvest while the block runs."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            open_batches(
                settings, name="harvest", queries=QUERIES, store=Store, submit=WalletClient.harvest
            )
        )
        harvester = Harvester(
            store=parts.store,
            runner=parts.runner,
            chunk_size=settings.max_batch_size,
            patience=settings.harvest_patience_seconds,
        )
        servicer = HarvestServicer(parts.store, harvester)
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
            owners={Owned.FARMER: parts.store.owners_of_farmers},
            checks=parts.checks,
            method_timeouts={
                "Harvest": settings.batch_timeout / 1000,
                "HarvestPending": settings.batch_timeout / 1000,
            },
        )
        yield await stack.enter_async_context(open_server(spec, settings, parts.transport))
