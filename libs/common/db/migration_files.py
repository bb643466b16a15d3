"""The files of migrations: `NNNN_name.sql`, numbered 1, 2, 3 ... in a folder for each schema."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

_FILE = re.compile(r"^(?P<number>\d{4})_[a-z0-9_]+\.sql$")


class MigrationError(Exception):
    """A migration cannot run: a file changed after it ran, or has a wrong name."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One migration file."""

    #: Its place in the order.
    number: int
    #: File name.
    name: str
    #: Its statements.
    sql: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the statements (hex)."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path) -> list[Migration]:
    """Read all files of a folder in order; raise MigrationError for wrong names, gaps or twins."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: not named NNNN_name.sql")
        sql = path.read_text(encoding="utf-8")
        migrations.append(Migration(number=int(match["number"]), name=path.name, sql=sql))
    if [migration.number for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise MigrationError(f"{folder}: numbers must be 1, 2, 3 ... without gaps")
    return migrations
