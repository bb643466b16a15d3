"""Fresh, migrated databases for tests: one server per pytest worker, one database per test.

A copy of a migrated template takes about 30 ms, so no test has to share or to clean up. Every
worker of pytest-xdist has a server of its own: it starts in about 0.4 s, and roles and passwords,
which belong to a whole server, cannot collide.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import asyncpg

from libs.common.db.pool import Database, open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.names import SERVICES
from services.migrations import migrate_all, role_of

Connection: TypeAlias = "asyncpg.Connection[Any]"
TEMPLATE = "kalepool_template"
#: Linux's folder of files in memory, and the bytes that have to be free there. The servers of some
#: workers together take a few hundred MB; a container may have only 64.
_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 2 * 1024**3


@contextmanager
def server_folder(fallback: Path) -> Iterator[Path]:
    """Make a folder for a server that makes and drops databases all the time.

    The folder is in memory where there is room. A database is hundreds of files, and ext4 does not
    take the numbers of files that were deleted in the last minutes again, but looks at each of them
    for every new file: after some dozen databases one more takes a third of a second of system
    time.
    """
    if not _has_room():
        yield fallback
        return
    folder = Path(tempfile.mkdtemp(prefix="kalepool-tests-", dir=_MEMORY))
    folder.chmod(0o711)  # the server has another account than root
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_room() -> bool:
    """Tell whether files may be made in memory, and whether enough of them fit."""
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return False
    return shutil.disk_usage(_MEMORY).free >= _ROOM


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


class Server(Protocol):
    """The part of a server that a factory needs."""

    @property
    def admin_dsn(self) -> str:
        """Return the superuser's connection string for the database `postgres`."""
        ...

    def dsn(self, *, database: str = ..., user: str = ..., password: str | None = ...) -> str:
        """Return a connection string; without a password it is the superuser's."""
        ...


class DatabaseFactory:
    """A factory of databases from a template that the real migrations made once."""

    def __init__(self, server: Server, passwords: Mapping[str, str] | None = None) -> None:
        """Take the passwords of the services' roles where the server has its template already."""
        self._server = server
        #: Passwords of the services' roles, by service.
        self.passwords = passwords or {name: secrets.token_urlsafe(16) for name in SERVICES}

    async def make_template(self) -> None:
        """Run all migrations in the template; give the roles their passwords."""
        async with connect(self._server.admin_dsn) as admin:
            await admin.execute(f'CREATE DATABASE "{TEMPLATE}"')
        await migrate_all(DatabaseAddress(dsn=self._server.dsn(database=TEMPLATE)), self.passwords)

    @asynccontextmanager
    async def create(self, *, template: str = TEMPLATE) -> AsyncIterator[DatabaseAccess]:
        """Make a fresh database while the block runs; cut connections that are left over."""
        name = f"test_{secrets.token_hex(6)}"
        async with connect(self._server.admin_dsn) as admin:
            # As files: the other way writes each page to the log as well.
            await admin.execute(
                f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY'
            )
        try:
            yield self._access(name)
        finally:
            async with connect(self._server.admin_dsn) as admin:
                await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _access(self, name: str) -> DatabaseAccess:
        service_dsns = {
            service: self._server.dsn(database=name, user=role_of(service), password=password)
            for service, password in self.passwords.items()
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
