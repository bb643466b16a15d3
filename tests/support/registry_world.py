"""registry's real app on a real database, with a fake wallet, called through a real channel."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import grpc
import pytest
from kalepool.registry.v1 import (
    notification_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)
from pydantic import SecretStr
from stellar_sdk import Keypair

from libs.common.errors import PoolError
from libs.common.grpc.client import open_channel
from libs.common.grpc.errors import from_rpc_error
from libs.common.ids import new_id
from services.registry.app import open_app
from services.registry.config import RegistrySettings
from tests.support.database import DatabaseAccess, connect
from tests.support.fake_custody import FakeCustody, open_fake_custody
from tests.support.tcp_relay import TcpRelay, open_relay

#: Seconds within which an expected event must happen.
PATIENCE = 300.0


@dataclass(frozen=True, kw_only=True)
class RegistryWorld:
    """A running registry and everything around it."""

    #: The database, with all rights.
    database: DatabaseAccess
    #: Custody in which registry makes wallets.
    wallet: FakeCustody
    #: registry's only way to PostgreSQL.
    postgres: TcpRelay
    #: Address of registry (host:port).
    target: str
    #: Channel to registry.
    channel: grpc.aio.Channel
    #: Stub of registry.
    stub: "registry_pb2_grpc.RegistryServiceAsyncStub"
    #: Stub of what is told.
    notifications: "notification_pb2_grpc.NotificationServiceAsyncStub"

    async def pooler(self, **changes: Any) -> registry_pb2.Pooler:
        """Register a new pooler."""
        reply = await self.stub.RegisterPooler(registry_pb2.RegisterPoolerRequest(**named(changes)))
        return reply.pooler

    async def farmer(self, pooler_id: str, **changes: Any) -> registry_pb2.Farmer:
        """Register a new farmer, and return it as GetFarmer shows it."""
        request = registry_pb2.RegisterFarmerRequest(pooler_id=pooler_id, **changes)
        reply = await self.stub.RegisterFarmer(request)
        return await self.read_farmer(reply.farmer_id)

    async def read_farmer(self, farmer_id: str) -> registry_pb2.Farmer:
        """Return one farmer."""
        reply = await self.stub.GetFarmer(registry_pb2.GetFarmerRequest(farmer_id=farmer_id))
        return reply.farmer

    async def read_pooler(self, pooler_id: str) -> registry_pb2.Pooler:
        """Return one pooler."""
        reply = await self.stub.GetPooler(registry_pb2.GetPoolerRequest(pooler_id=pooler_id))
        return reply.pooler

    async def value(self, sql: str, *arguments: object) -> Any:
        """Return one value from the database, read with all rights."""
        async with connect(self.database.admin_dsn) as admin:
            return await admin.fetchval(sql, *arguments)


def named(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of RegisterPooler, with defaults for those that are not given."""
    return {"name": "north", "public_key": Keypair.random().public_key, **changes}


async def refusal(call: Awaitable[Any]) -> PoolError:
    """Return the error that ends a call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def eventually(condition: Callable[[], Awaitable[bool]], message: str) -> None:
    """Wait until a condition holds."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not await condition():
        late = asyncio.get_running_loop().time() >= deadline
        assert not late, f"{message} after {PATIENCE} s"
        await asyncio.sleep(0.05)


def settings(dsn: str, wallet: FakeCustody, **changes: Any) -> RegistrySettings:
    """Return settings that need no environment: any port, no rate limit, a quick recovery."""
    defaults: dict[str, Any] = {
        "port": 0,
        "api_rate_limit": 0,
        "recovery_seconds": 0.2,
        "self_join_daily": 100,
        "shutdown_grace_ms": 200,
        "wallet_target": wallet.target,
    }
    return RegistrySettings(
        transport="plaintext", database_url=SecretStr(dsn), **{**defaults, **changes}
    )


@asynccontextmanager
async def open_registry(
    database: DatabaseAccess, wallet: FakeCustody, **changes: Any
) -> AsyncIterator[RegistryWorld]:
    """Run one registry in this process; another on the same database is a second replica."""
    async with AsyncExitStack() as stack:
        url = urlsplit(database.dsn("registry"))
        relay = await stack.enter_async_context(
            open_relay(url.hostname or "127.0.0.1", url.port or 5432)
        )
        host = url.netloc.rpartition(":")[0]
        dsn = urlunsplit(url._replace(netloc=f"{host}:{relay.port}"))
        server = await stack.enter_async_context(open_app(settings(dsn, wallet, **changes)))
        target = f"127.0.0.1:{server.port}"
        channel = await stack.enter_async_context(open_channel(target))
        yield RegistryWorld(
            database=database,
            wallet=wallet,
            postgres=relay,
            target=target,
            channel=channel,
            stub=registry_pb2_grpc.RegistryServiceStub(channel),
            notifications=notification_pb2_grpc.NotificationServiceStub(channel),
        )


@asynccontextmanager
async def open_registry_world(
    database: DatabaseAccess, **changes: Any
) -> AsyncIterator[RegistryWorld]:
    """Run a registry with a wallet of its own."""
    async with (
        open_fake_custody(database.dsn("wallet")) as wallet,
        open_registry(database, wallet, **changes) as world,
    ):
        yield world


def fresh_request_id() -> str:
    """Return a request id that nobody has used."""
    return str(new_id())
