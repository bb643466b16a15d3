"""The contents of a database, for comparison with a copy: rows by table, and the audit log."""

from typing import Any, TypeAlias

import asyncpg

from backup.seal import BackupError
from libs.common.db.queries import load_queries
from libs.common.names import SERVICES
from services.wallet.domain.audit import Head, Record, Verifier
from services.wallet.store import QUERIES

Connection: TypeAlias = "asyncpg.Connection[Any]"

#: Our schemas; chain is wallet's second one.
SCHEMAS = (*SERVICES, "chain")
_PAGE = 5000

_TABLES = """
SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_catalog.pg_tables
WHERE schemaname = ANY($1::text[]) ORDER BY 1
"""
#: As wallet reads its log.
_AUDIT = {name: query for path in QUERIES for name, query in load_queries(path).items()}[
    "audit_records"
].sql


async def row_counts(connection: Connection) -> dict[str, int]:
    """Count the rows of every table of ours."""
    names = [row["name"] for row in await connection.fetch(_TABLES, SCHEMAS)]
    # The names are quoted by the server.
    return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names}  # noqa: S608


async def is_empty(connection: Connection) -> bool:
    """Tell whether there is nothing of ours in the database."""
    found = await connection.fetchval(
        "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = ANY($1::text[])", SCHEMAS
    )
    return not found


async def audit_head(connection: Connection) -> Head:
    """Return the newest record of an audit log whose chain is whole.

    Raise BackupError when it is not.
    """
    verifier = Verifier()
    while rows := await connection.fetch(_AUDIT, verifier.head.number, _PAGE, None):
        if not verifier.take([Record(**dict(row)) for row in rows]):
            break
    if not verifier.finish():
        raise BackupError(f"the audit log is broken: {verifier.broken}")
    return verifier.head
