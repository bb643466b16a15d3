"""The schema that a release needs: whether a database has it, and can be written to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from libs.common.db.failures import DatabaseForeignError, DatabaseUnavailableError
from libs.common.db.migration_files import read_migrations

#: Seconds that the check may take.
_PATIENCE = 2.0


class _Connection(Protocol):
    """The part of a connection that the check needs."""

    async def fetchrow(self, query: str, *, timeout: float) -> Any:
        """Run a query; return its row."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """The schema of one service, as this release needs it. A later release's is accepted, too."""

    #: Name of the schema.
    schema: str
    #: Number of the newest migration that this release has.
    number: int

    @classmethod
    def of(cls, schema: str, migrations: Path) -> "Release":
        """Read the number from a folder of migrations. Raise MigrationError."""
        return cls(schema=schema, number=len(read_migrations(migrations)))

    async def check(self, connection: _Connection) -> None:
        """Raise DatabaseForeignError for an older schema, DatabaseUnavailableError on a standby."""
        row = await connection.fetchrow(
            "SELECT max(m.number) AS number, "  # noqa: S608  (schema is ours)
            "current_setting('transaction_read_only') = 'on' AS is_read_only "
            f"FROM {self.schema}.schema_migrations AS m",
            timeout=_PATIENCE,
        )
        if (row["number"] or 0) < self.number:
            raise DatabaseForeignError(
                f"schema {self.schema} is at migration {row['number'] or 0}, and this release "
                f"needs {self.number}: run the migrations"
            )
        if row["is_read_only"]:
            raise DatabaseUnavailableError("this PostgreSQL takes no changes: it is a standby")
