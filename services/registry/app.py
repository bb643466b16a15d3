"""Wiring of registry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from kalepool.registry.v1 import registry_pb2_grpc

from libs.common.db.pool import open_database
from libs.common.grpc.access import Owned
from libs.common.grpc.client import open_channel
from libs.common.grpc.identity import actor
from libs.common.grpc.second_person import SecondPerson
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.grpc.tls import transport_of
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.registry.clients import WalletClient
from services.registry.config import RegistrySettings
from services.registry.loops import provision_for_ever
from services.registry.servicer import RegistryServicer
from services.registry.store.store import QUERIES, Store
from services.registry.usecases import Registry
from services.second_person import COVERED


@asynccontextmanager
async def open_app(settings: RegistrySettings) -> AsyncIterator[RunningServer]:
    """Run registry while the block runs."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(
                settings.database(),
                queries=QUERIES,
                pool_size=settings.database_pool_size,
                timeout_ms=settings.database_timeout,
                lock_timeout_ms=settings.database_lock_timeout_ms,
                name="registry",
                actor=actor,
            )
        )
        transport = transport_of(settings.tls_files())
        channel = await stack.enter_async_context(
            open_channel(settings.wallet_target, transport, name="wallet")
        )
        wallet, store = WalletClient(channel), Store(database)
        registry = Registry(store=store, wallet=wallet)
        servicer = RegistryServicer(registry, max_farmers=settings.max_farmers)
        recovery = asyncio.create_task(
            provision_for_ever(registry, interval=settings.recovery_seconds)
        )
        stack.callback(recovery.cancel)
        spec = ServiceSpec(
            name="registry",
            full_names=("kalepool.registry.v1.RegistryService",),
            register=lambda server: registry_pb2_grpc.add_RegistryServiceServicer_to_server(
                servicer, server
            ),
            kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
            formats=FORMATS,
            access=ACCESS,
            owners={Owned.FARMER: store.owners_of_farmers},
            second_person=SecondPerson(COVERED, wallet.use_approval),
            standings={
                Owned.POOLER: store.standings_of_poolers,
                Owned.FARMER: store.standings_of_farmers,
            },
            checks={"database": database.is_up, "wallet": wallet.is_serving},
        )
        yield await stack.enter_async_context(open_server(spec, settings, transport))
