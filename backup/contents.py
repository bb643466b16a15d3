"""The contents of a database, for comparison with a copy: rows by table, and the audit log."""

from typing import Any, TypeAlias, cast

import asyncpg

from backup.seal import BackupError
from libs.common.db.pool import Session
from libs.common.db.queries import load_queries
from libs.common.names import SERVICES
from services.wallet.domain.audit import Findings, Head, Record, Verifier
from services.wallet.store import QUERIES
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.custody import audit_head

Connection: TypeAlias = "asyncpg.Connection[Any]"

#: Our schemas; chain is wallet's second one.
SCHEMAS = (*SERVICES, "chain")
_PAGE = 5000

_TABLES = """
SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_catalog.pg_tables
WHERE schemaname = ANY($1::text[]) ORDER BY 1
"""
#: As wallet reads its log.
_WALLET = load_queries(*QUERIES)


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


async def audit_state(connection: Connection) -> tuple[Head, Findings]:
    """Return the newest record of an audit log whose chain is whole, and what does not go with it.

    Raise BackupError when the chain is not whole. What the log and the rows beside it do not say
    alike is told, and no reason to have no backup: who can write one row could prevent all.
    """
    session = Session(cast("Any", connection), _WALLET)
    verifier, findings = Verifier(end=(await audit_head(session))[0]), Findings()
    check, after = AuditCheck(session), verifier.reads_after
    while rows := await session.many("audit_records", after, _PAGE, None):
        page = [Record(**dict(row)) for row in rows]
        if not verifier.take(page):
            break
        await check.records(page, findings)
        after = verifier.head.number
    if not verifier.finish():
        raise BackupError(f"the audit log is broken: {verifier.broken}")
    await check.rows(findings)
    return verifier.head, findings
