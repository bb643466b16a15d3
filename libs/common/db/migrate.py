"""Forward-only migrations in plain SQL, one folder and one schema per service, run as a job.

A file `NNNN_name.sql` runs once, in its own transaction, in the order of its number. The files that
ran are kept with their checksums in `<schema>.schema_migrations`. A lock of that table, which no
service can take, makes concurrent runs wait.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from libs.common.db.failures import translated_errors
from libs.common.db.migration_files import Migration, MigrationError, read_migrations
from libs.common.db.pool import MADE_MEANWHILE
from libs.common.db.sessions import session_settings
from libs.common.db.tls import DatabaseAddress
from libs.common.db.version import refuse_old

Connection: TypeAlias = "asyncpg.Connection[Any]"
#: Somebody may hold a table that a migration changes: it gives up, and is begun again by a person.
_SETTINGS = {"lock_timeout": "60s", "jit": "off"}
#: How long (ms) a statement, and a wait for a lock, may take in sessions that say nothing else.
_TIMEOUT_MS, _LOCK_TIMEOUT_MS = 30_000, 10_000
#: Tries to change what other runs change at the same moment.
_TRIES = 20


async def migrate(
    admin: DatabaseAddress, *, schema: str, folder: Path, reader: str | None = None
) -> list[str]:
    """Bring one service's schema up to date; return the names of the files that ran.

    The role `reader` may read which migrations ran: its service compares them with its release.
    """
    connection = await connect_as_admin(admin)
    try:
        with translated_errors():
            ran = await _run_missing(connection, schema, read_migrations(folder))
            if reader is not None:
                await _settled(
                    connection, f'GRANT SELECT (number) ON {schema}.schema_migrations TO "{reader}"'
                )
            return ran
    finally:
        await connection.close()


async def ensure_roles(
    admin: DatabaseAddress,
    passwords: Mapping[str, str | None],
    *,
    connections: int | None = None,
) -> None:
    """Create the login roles that are missing and set the passwords that are given.

    A role's sessions begin with the settings of ours, also where PgBouncer opens them.
    `connections` is the number of connections that each role may have; None leaves it as it is.
    """
    connection = await connect_as_admin(admin)
    try:
        for role, password in passwords.items():
            await _ensure_role(connection, role, password)
            for name, value in session_settings(_TIMEOUT_MS, _LOCK_TIMEOUT_MS).items():
                await _change_role(connection, role, f"SET {name} = '{value}'")
            if connections is not None:
                await _change_role(connection, role, f"CONNECTION LIMIT {connections:d}")
    finally:
        await connection.close()


async def connect_as_admin(address: DatabaseAddress) -> Connection:
    """Connect for a change of schemas or roles; raise UnavailableError."""
    with translated_errors():
        connection = await asyncpg.connect(
            address.dsn, ssl=address.security(), timeout=10, server_settings=_SETTINGS
        )
    try:
        await refuse_old(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _run_missing(
    connection: Connection, schema: str, migrations: list[Migration]
) -> list[str]:
    with suppress(*MADE_MEANWHILE):
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    with suppress(*MADE_MEANWHILE):
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {schema}.schema_migrations (number int PRIMARY KEY, "
            "name text NOT NULL, checksum text NOT NULL, "
            "applied_at timestamptz NOT NULL DEFAULT now())"
        )
    done = await _done(connection, schema)
    for migration in migrations:
        if done.get(migration.number, migration.checksum) != migration.checksum:
            raise MigrationError(f"{schema}/{migration.name} was changed after it ran")
    return [
        migration.name
        for migration in migrations
        if migration.number not in done and await _run(connection, schema, migration)
    ]


async def _done(connection: Connection, schema: str) -> dict[int, str]:
    """Return the checksums of the files that ran, by number."""
    rows = await connection.fetch(f"SELECT number, checksum FROM {schema}.schema_migrations")  # noqa: S608  (schema is ours)
    return {row["number"]: row["checksum"] for row in rows}


async def _run(connection: Connection, schema: str, migration: Migration) -> bool:
    """Run one file; return False when another run was faster."""
    # Whatever the database's default is: a transaction that has waited for a lock sees what was
    # committed meanwhile.
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(f"LOCK TABLE {schema}.schema_migrations IN EXCLUSIVE MODE")
        if migration.number in await _done(connection, schema):
            return False
        await connection.execute(migration.sql)
        await connection.execute(
            f"INSERT INTO {schema}.schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",  # noqa: S608  (schema is ours)
            migration.number,
            migration.name,
            migration.checksum,
        )
    return True


async def _ensure_role(connection: Connection, role: str, password: str | None) -> None:
    exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    if exists is None:
        # Roles belong to the whole server: another database's run may have been faster.
        with suppress(*MADE_MEANWHILE):
            await connection.execute(f'CREATE ROLE "{role}" LOGIN')
    if password is not None:
        # DDL takes no arguments: the server quotes the literal.
        literal = await connection.fetchval("SELECT quote_literal($1::text)", password)
        await _change_role(connection, role, f"PASSWORD {literal}")


async def _change_role(connection: Connection, role: str, change: str) -> None:
    await _settled(connection, f'ALTER ROLE "{role}" {change}')


async def _settled(connection: Connection, statement: str) -> None:
    """Run a statement; try again when another run changes the same thing at the same moment."""
    for attempt in range(1, _TRIES + 1):
        with _concurrent_change(is_last=attempt == _TRIES):
            await connection.execute(statement)
            return


@contextmanager
def _concurrent_change(*, is_last: bool) -> Iterator[None]:
    try:
        yield
    except asyncpg.InternalServerError as error:
        if is_last or "concurrently" not in str(error):
            raise
