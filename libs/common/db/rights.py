"""What everybody may do in a database who can log in to it, and how that is taken away.

PostgreSQL grants some things to PUBLIC that no service of ours needs, and by which one role can get
in the way of others: advisory locks and large objects fill the server's table of locks, temporary
tables its disk. Only the owner of the database can take back some of it, only a superuser the rest;
where nobody has, the pool works all the same, and `findings` says what is left.
"""

from collections.abc import Sequence
from typing import Protocol

import asyncpg

from libs.common.db.migrate import connect_as_admin
from libs.common.db.tls import DatabaseAddress

#: Functions of pg_catalog that only take locks, or make what takes locks and room.
_FUNCTIONS = """
SELECT p.oid::pg_catalog.regprocedure::text AS name,
    pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE') AS is_public
FROM pg_catalog.pg_proc AS p
WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
    AND (
        p.proname ~ '^pg_(try_)?advisory_(xact_)?lock'
        OR p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_unlink')
    )
ORDER BY 1
"""
_RIGHTS = """
SELECT
    pg_catalog.current_database() AS database,
    pg_catalog.has_database_privilege('public', d.oid, 'TEMPORARY') AS temporary,
    pg_catalog.has_database_privilege('public', d.oid, 'CONNECT') AS connect,
    EXISTS (
        SELECT 1 FROM pg_catalog.pg_namespace AS n
        WHERE n.nspname = 'public'
            AND pg_catalog.has_schema_privilege('public', n.oid, 'CREATE')
    ) AS creating,
    pg_catalog.current_setting('max_connections')::int
        - pg_catalog.current_setting('superuser_reserved_connections')::int AS connections
FROM pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database()
"""
_ROLES = """
SELECT r.rolname AS name, r.rolconnlimit AS connections,
    coalesce(pg_catalog.array_to_string(r.rolconfig, ' '), '') ~ '(^| )temp_file_limit=[0-9]'
        AS is_limited
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = ANY($1::text[])
ORDER BY 1
"""


class Reader(Protocol):
    """A connection, or anything else that runs a query."""

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of a query."""


async def findings(reader: Reader, roles: Sequence[str]) -> list[str]:
    """Return in words what one role, or a stranger, can take that others need; any role may ask."""
    functions = [row["name"] for row in await reader.fetch(_FUNCTIONS) if row["is_public"]]
    (rights,) = await reader.fetch(_RIGHTS)
    limits = await reader.fetch(_ROLES, list(roles))
    return [
        *(["anybody may take advisory locks"] if any("advisory" in n for n in functions) else []),
        *(["anybody may make large objects"] if any("lo_" in n for n in functions) else []),
        *(["anybody may make temporary tables"] if rights["temporary"] else []),
        *(["any role of the server may connect"] if rights["connect"] else []),
        *(["anybody may create in the schema public"] if rights["creating"] else []),
        *_limits(limits, rights["connections"]),
    ]


def _limits(roles: Sequence[asyncpg.Record], connections: int) -> list[str]:
    free = [row["name"] for row in roles if row["connections"] < 0]
    files = [row["name"] for row in roles if not row["is_limited"]]
    found = [f"{name} may open any number of connections" for name in free]
    most = sum(row["connections"] for row in roles)
    if not free and most > connections:
        found.append(f"the roles may open {most} connections, and the server has {connections}")
    return found + [f"{name} may write any amount of temporary files" for name in files]


async def restrict(
    admin: DatabaseAddress, roles: Sequence[str], *, temp_file_kib: int
) -> list[str]:
    """Take from PUBLIC what nobody needs, and bound what the roles may take of the disk.

    Return what is left in words: what only a superuser can take away stays where the address is
    another role's. Safe to repeat.
    """
    connection = await connect_as_admin(admin)
    try:
        for row in await connection.fetch(_FUNCTIONS):
            await connection.execute(f"REVOKE EXECUTE ON FUNCTION {row['name']} FROM PUBLIC")
        named = ", ".join(f'"{role}"' for role in roles)
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        for statement in (
            f"GRANT CONNECT ON DATABASE {database} TO {named}",
            f"REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            *(f'ALTER ROLE "{role}" SET temp_file_limit = {temp_file_kib:d}' for role in roles),
        ):
            await _try(connection, statement)
        return await findings(connection, roles)
    finally:
        await connection.close()


async def _try(connection: "asyncpg.Connection[asyncpg.Record]", statement: str) -> None:
    """Run a statement, unless this role may not or the thing is not there: findings tell that."""
    try:
        await connection.execute(statement)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError):
        return
