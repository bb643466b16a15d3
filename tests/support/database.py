"""Fresh, migrated databases for tests: one server per pytest worker, one database per test.

A copy of a migrated template takes about 30 ms, so no test has to share or to clean up. Every
worker of pytest-xdist has a server of its own: it starts in about 0.4 s, and roles and passwords,
which belong to a whole server, cannot collide.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from devstack.postgres import EmbeddedPostgres
from libs.common.db.pool import Database, open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.names import SERVICES
from services.migrations import migrate_all, role_of

Connection: TypeAlias = "asyncpg.Connection[Any]"
TEMPLATE = "kalepool_template"


@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """One database and the ways to log in to it."""

    #: Name of the database on the server.
    name: str
    #: The superuser's connection string.
    admin_dsn: str
    #: Connection strings of the services' own roles, by service name.
    service_dsns: dict[str, str]

    def dsn(self, service: str) -> str:
        """Return the connection string of a service's role, such as "wallet"."""
        return self.service_dsns[service]


class DatabaseFactory:
    """A factory of databases from a template that the real migrations made once."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._passwords = {service: secrets.token_urlsafe(16) for service in SERVICES}

    async def make_template(self) -> None:
        """Run all migrations in the template; give the roles their passwords."""
        async with connect(self._server.admin_dsn) as admin:
            await admin.execute(f'CREATE DATABASE "{TEMPLATE}"')
        await migrate_all(DatabaseAddress(dsn=self._server.dsn(database=TEMPLATE)), self._passwords)

    @asynccontextmanager
    async def create(self, *, template: str = TEMPLATE) -> AsyncIterator[DatabaseAccess]:
        """Make a fresh database while the block runs; cut connections that are left over."""
        name = f"test_{secrets.token_hex(6)}"
        async with connect(self._server.admin_dsn) as admin:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield self._access(name)
        finally:
            async with connect(self._server.admin_dsn) as admin:
                await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _access(self, name: str) -> DatabaseAccess:
        service_dsns = {
            service: self._server.dsn(database=name, user=role_of(service), password=password)
            for service, password in self._passwords.items()
        }
        return DatabaseAccess(
            name=name,
            admin_dsn=self._server.dsn(database=name),
            service_dsns=service_dsns,
        )


def open_as(
    database: DatabaseAccess, service: str, queries: Path | Sequence[Path], *, pool_size: int = 2
) -> AbstractAsyncContextManager[Database]:
    """Open a service's queries by its own role, so that a missing grant shows up."""
    return open_database(
        DatabaseAddress(dsn=database.dsn(service)),
        queries=queries,
        pool_size=pool_size,
        timeout_ms=10_000,
        name="test",
    )


@asynccontextmanager
async def connect(dsn: str) -> AsyncIterator[Connection]:
    """Open one connection while the block runs."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()
