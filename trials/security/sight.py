"""What each database role sees: all rows that it may read, looked through for secrets."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from devstack.stack import Stack
from libs.common.names import SERVICES
from trials.canaries import canaries, search
from trials.report import Table

#: What a role may read at least a column of, with these columns.
_READABLE = """
SELECT
    format('%I.%I', n.nspname, c.relname) AS relation,
    string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns
FROM pg_class AS c
INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
INNER JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'v')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND a.attnum > 0 AND NOT a.attisdropped
    AND has_schema_privilege(n.oid, 'USAGE')
    AND has_column_privilege(c.oid, a.attnum, 'SELECT')
GROUP BY 1
ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """All that one role reads."""

    #: The service whose role it is.
    service: str
    #: Tables and views that it may read, and their rows.
    relations: int
    rows: int
    #: Secrets in them, by name and relation.
    secrets: Sequence[str]

    @property
    def failures(self) -> list[str]:
        """Return in words what must not be seen."""
        return [f"the role of {self.service} sees {secret}" for secret in self.secrets]


async def look_at_all(stack: Stack, more: Mapping[str, str]) -> list[Seen]:
    """Read as each service's role, and look for every secret of a running pool, and for more."""
    secrets = await canaries(stack) | {name: text.encode() for name, text in more.items()}
    return [await look(service, stack.service_dsn(service), secrets) for service in SERVICES]


async def look(service: str, dsn: str, secrets: Mapping[str, bytes]) -> Seen:
    """Read all that one role may, and look for secrets in it."""
    connection = await asyncpg.connect(dsn)
    try:
        with tempfile.TemporaryDirectory() as folder:
            readable, rows = await connection.fetch(_READABLE), 0
            for row in readable:
                query = f"SELECT {row['columns']} FROM {row['relation']}"  # noqa: S608  (the server's own quoting)
                status = await connection.copy_from_query(
                    query, output=Path(folder) / row["relation"]
                )
                rows += int(str(status).rpartition(" ")[2])
            found = await asyncio.to_thread(search, secrets, Path(folder))
    finally:
        await connection.close()
    # What stands in a process's arguments is no matter of a role.
    seen = [leak for leak in found.leaks if not leak.endswith(" in arguments")]
    return Seen(service=service, relations=len(readable), rows=rows, secrets=seen)


def table_of(found: Sequence[Seen]) -> Table:
    """Return how much each role reads, and how many secrets are in it."""
    return Table(
        title="what each service's role sees",
        columns=("role", "tables and views", "rows", "secrets"),
        rows=[
            (one.service, str(one.relations), f"{one.rows:,}", str(len(one.secrets)))
            for one in found
        ],
    )
