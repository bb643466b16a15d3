"""Wiring of wallet: connections to what it stands on, then stores, engine, callers, server."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from libs.common.db.of_service import open_database_of
from libs.common.db.pool import Database
from libs.common.db.schemas import Release
from libs.common.grpc.server import RunningServer, open_server
from libs.common.grpc.tls import transport_of
from services.wallet import loops
from services.wallet.chain import open_chain
from services.wallet.config import WalletSettings
from services.wallet.keys.open_providers import open_keys
from services.wallet.notices import tell_notices
from services.wallet.store import MIGRATIONS, QUERIES
from services.wallet.store.hold_ups import HoldUps
from services.wallet.store.kill_switch import KillSwitch
from services.wallet.wiring.callers import Callers
from services.wallet.wiring.engine import Engine
from services.wallet.wiring.stores import Stores


@asynccontextmanager
async def open_app(settings: WalletSettings) -> AsyncIterator[RunningServer]:
    """Run wallet while the block runs."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(open_keys(settings.keys()))
        database = await stack.enter_async_context(
            _database(settings, "wallet", connections=settings.database_pool_size)
        )
        # Connections that nothing else uses, and that stay open.
        pauses = await stack.enter_async_context(
            _database(settings, "wallet-pauses", connections=1)
        )
        watch = await stack.enter_async_context(_database(settings, "wallet-watch", connections=1))
        chain = await stack.enter_async_context(
            open_chain(
                settings.network(),
                timeout=settings.stellar_timeout_ms / 1000,
                hedge=settings.stellar_hedge_ms / 1000,
            )
        )
        kill_switch = KillSwitch()
        stores = Stores(database, settings, kill_switch)
        engine = Engine(settings, chain, provider, stores, kill_switch)
        callers = Callers(
            settings,
            database,
            pauses=pauses,
            provider=provider,
            stores=stores,
            engine=engine,
            kill_switch=kill_switch,
        )
        background = [
            *engine.loops(),
            *callers.loops(),
            tell_notices(settings, database, chain, engine.accounts),
            loops.end_hold_ups(HoldUps(watch)),
        ]
        await stack.enter_async_context(loops.running(background))
        transport = transport_of(settings.tls_files())
        yield await stack.enter_async_context(open_server(callers.spec(), settings, transport))


def _database(
    settings: WalletSettings, name: str, *, connections: int
) -> AbstractAsyncContextManager[Database]:
    return open_database_of(
        settings,
        queries=QUERIES,
        pool_size=connections,
        name=name,
        release=Release.of("wallet", MIGRATIONS),
    )
