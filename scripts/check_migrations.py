"""The check that all migrations together give what schema.sql says, for every service.

Both are applied to an embedded PostgreSQL, and what pg_dump says of the two databases is compared:
tables, columns in order, types, constraints, indexes, functions, triggers, views and grants.
"""

import asyncio
import difflib
import sys
import tempfile
from pathlib import Path

import asyncpg

from devstack.postgres import EmbeddedPostgres
from libs.common.db.tls import DatabaseAddress
from libs.common.names import SERVICES
from services.migrations import migrate_all, migrations_of

MIGRATED = "from_migrations"
DECLARED = "from_schema_sql"


class SchemaFileError(Exception):
    """A service has migrations but no schema.sql."""


async def run_sql(dsn: str, *statements: str) -> None:
    """Run scripts one after the other; each may have several statements."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def declared_scripts() -> list[str]:
    """Return the services' schema.sql in the order of their foreign keys.

    The runner makes the schemas.
    """
    scripts = [f"CREATE SCHEMA {service}" for service in SERVICES]
    for service in SERVICES:
        folder = migrations_of(service)
        schema_file = folder.parent / "schema.sql"
        if not schema_file.exists():
            if folder.exists():
                raise SchemaFileError(f"{service} has migrations, but no store/schema.sql")
            continue
        scripts.append(schema_file.read_text(encoding="utf-8"))
    return scripts


def dump(server: EmbeddedPostgres, database: str) -> list[str]:
    """Return a database's definitions, line by line, without what is the runner's own."""
    text = server.run(
        "pg_dump",
        "--schema-only",
        "--exclude-table=*.schema_migrations",
        # Otherwise a random word.
        "--restrict-key=kalepool",
        f"--dbname={server.dsn(database=database)}",
    )
    return [line for line in text.splitlines() if line and not line.startswith("--")]


def compare(folder: Path) -> list[str]:
    """Return the differences as a unified diff; empty when there are none."""
    with EmbeddedPostgres(folder, durable=False) as server:
        asyncio.run(
            run_sql(server.dsn(), f"CREATE DATABASE {MIGRATED}", f"CREATE DATABASE {DECLARED}")
        )
        asyncio.run(migrate_all(DatabaseAddress(dsn=server.dsn(database=MIGRATED))))
        asyncio.run(run_sql(server.dsn(database=DECLARED), *declared_scripts()))
        migrated, declared = dump(server, MIGRATED), dump(server, DECLARED)
    return list(difflib.unified_diff(migrated, declared, MIGRATED, DECLARED, lineterm="", n=5))


def main() -> int:
    """Run the command."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = compare(Path(folder))
        except SchemaFileError as error:
            found = [str(error)]
    if found:
        sys.stdout.write("\n".join(found) + "\n")
        sys.stderr.write("migrations: all migrations together do not give schema.sql\n")
        return 1
    sys.stdout.write("migrations: all migrations together give schema.sql\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
