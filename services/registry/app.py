"""Wiring of registry."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from kalepool.registry.v1 import registry_pb2_grpc

from libs.common.clock import SystemClock
from libs.common.db.of_service import open_database_of
from libs.common.db.pool import Database
from libs.common.db.schemas import Release
from libs.common.grpc.access import Owned
from libs.common.grpc.client import open_channel
from libs.common.grpc.identity import actor
from libs.common.grpc.second_person import SecondPerson
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.grpc.tls import transport_of
from libs.kale.formats import FORMATS
from libs.kale.networks import farm_of
from services.access import ACCESS
from services.registry import loops
from services.registry.clients import WalletClient
from services.registry.config import RegistrySettings
from services.registry.domain.webhooks import WebhookKeys
from services.registry.receivers import open_receivers
from services.registry.servicers import notifications as notification_servicer
from services.registry.servicers.registry import RegistryServicer
from services.registry.store.leaving import LeavingStore
from services.registry.store.notifications import NotificationStore
from services.registry.store.store import MIGRATIONS, QUERIES, Store
from services.registry.usecases.deliveries import AT_ONCE, Bell, Deliverer, SendingTerms
from services.registry.usecases.leaving import Departures
from services.registry.usecases.notifications import Notifications
from services.registry.usecases.registry import Registry
from services.second_person import COVERED


@asynccontextmanager
async def open_app(settings: RegistrySettings) -> AsyncIterator[RunningServer]:
    """Run registry while the block runs."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database_of(
                settings,
                queries=QUERIES,
                name="registry",
                actor=actor,
                release=Release.of("registry", MIGRATIONS),
            )
        )
        transport = transport_of(settings.tls_files())
        channel = await stack.enter_async_context(
            open_channel(settings.wallet_target, transport, name="wallet")
        )
        wiring = _Wiring(settings, database, WalletClient(channel))
        await wiring.start(stack)
        yield await stack.enter_async_context(open_server(wiring.spec(), settings, transport))


class _Wiring:
    """All parts of one registry process."""

    def __init__(
        self, settings: RegistrySettings, database: Database, wallet: WalletClient
    ) -> None:
        self._settings = settings
        self._database = database
        self._wallet = wallet
        self._store = Store(database)
        self._registry = Registry(
            store=self._store, wallet=wallet, join_limits=settings.join_limits()
        )
        self._departures = Departures(
            registry=self._registry,
            store=LeavingStore(database),
            wallet=wallet,
            pause=settings.leaving_seconds,
        )
        self._bell = Bell()
        self._notification_store = NotificationStore(database)
        self._keys = settings.webhook_keys()
        self._notifications = Notifications(
            store=self._notification_store,
            registry=self._registry,
            keys=self._keys,
            allow_private=settings.webhooks_allow_private,
            bell=self._bell,
        )

    async def start(self, stack: AsyncExitStack) -> None:
        """Start the loops; they end with the stack."""
        running = self._loops()
        if self._keys is not None:
            deliverer = await self._deliverer(stack, self._keys)
            running.append(loops.deliver(deliverer, self._bell))
        for loop in running:
            stack.callback(asyncio.create_task(loop).cancel)

    def _loops(self) -> list[Coroutine[None, None, None]]:
        settings = self._settings
        return [
            loops.provision_for_ever(self._registry, interval=settings.recovery_seconds),
            loops.see_off(self._departures),
            loops.take_notices(self._notifications),
            loops.watch_poolers(
                self._registry, self._bell, gone_after=settings.pooler_gone_seconds
            ),
            loops.forget(self._notification_store, seconds=settings.notification_keep_seconds),
        ]

    async def _deliverer(self, stack: AsyncExitStack, keys: WebhookKeys) -> Deliverer:
        settings = self._settings
        terms = SendingTerms(
            timeout=settings.webhook_timeout_ms / 1000,
            give_up=settings.webhook_give_up_seconds,
            allow_private=settings.webhooks_allow_private,
        )
        receivers = await stack.enter_async_context(
            open_receivers(
                timeout=terms.timeout,
                at_once=AT_ONCE,
                allow_private=settings.webhooks_allow_private,
                authority=settings.webhook_ca_file,
            )
        )
        deliverer = Deliverer(
            self._notification_store,
            receivers,
            keys,
            clock=SystemClock(),
            terms=terms,
            bell=self._bell,
        )
        stack.push_async_callback(deliverer.aclose)
        return deliverer

    def spec(self) -> ServiceSpec:
        """Return the specification of the server."""
        settings, store = self._settings, self._store
        return ServiceSpec(
            name="registry",
            full_names=(
                "kalepool.registry.v1.RegistryService",
                notification_servicer.FULL_NAME,
            ),
            register=self._register,
            kale_contract_id=farm_of(settings.stellar_network, settings.kale_contract_id),
            formats=FORMATS,
            access=ACCESS,
            owners={
                Owned.FARMER: store.owners_of_farmers,
                Owned.WEBHOOK: self._notification_store.owners_of_webhooks,
            },
            accounts={Owned.FARMER: store.accounts_of_farmers},
            second_person=SecondPerson(COVERED, self._wallet.use_approval),
            standings={
                Owned.POOLER: store.standings_of_poolers,
                Owned.FARMER: store.standings_of_farmers,
            },
            checks={"database": self._database.is_up, "wallet": self._wallet.is_serving},
        )

    def _register(self, server: grpc.aio.Server) -> None:
        servicer = RegistryServicer(
            self._registry, self._departures, max_farmers=self._settings.max_farmers
        )
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(servicer, server)
        notification_servicer.register(self._notifications, self._notification_store, server)
