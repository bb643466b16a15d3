"""Wiring of plant."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from kalepool.plant.v1 import plant_pb2_grpc

from libs.batches.app import open_batches
from libs.batches.wallet import WalletClient
from libs.common.grpc.access import Owned
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.plant.config import PlantSettings
from services.plant.servicer import PlantServicer
from services.plant.store.store import MIGRATIONS, QUERIES, Store
from services.plant.usecases import Planter


@asynccontextmanager
async def open_app(settings: PlantSettings) -> AsyncIterator[RunningServer]:
    """Run plant while the block runs."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            open_batches(
                settings,
                name="plant",
                queries=QUERIES,
                migrations=MIGRATIONS,
                store=Store,
                submit=WalletClient.plant,
            )
        )
        planter = Planter(
            store=parts.store, runner=parts.runner, chunk_size=settings.max_batch_size
        )
        servicer = PlantServicer(parts.store, planter, max_farmers=settings.max_farmers)
        spec = ServiceSpec(
            name="plant",
            full_names=("kalepool.plant.v1.PlantService",),
            register=lambda server: plant_pb2_grpc.add_PlantServiceServicer_to_server(
                servicer, server
            ),
            kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
            formats=FORMATS,
            access=ACCESS,
            accounts={Owned.FARMER: parts.store.accounts_of_farmers},
            checks=parts.checks,
            method_timeouts={"Plant": settings.batch_timeout / 1000},
        )
        yield await stack.enter_async_context(open_server(spec, settings, parts.transport))
