"""What a database of shares can do, whichever program keeps it."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

FOLDER = Path(__file__).parent
QUERIES = FOLDER / "queries.sql"
#: Version of the schema, as the table of facts has it.
SCHEMA_FACT, SCHEMA = "schema", b"1"


class Row(Protocol):
    """A row of an answer."""

    def __getitem__(self, column: str) -> Any:
        """Return the value of a column."""

    def keys(self) -> Iterable[str]:
        """Return the columns."""


class Session(Protocol):
    """A connection that runs named queries."""

    async def one(self, name: str, *arguments: object) -> Row | None:
        """Run a `:one` query; return its row, or None."""

    async def many(self, name: str, *arguments: object) -> Sequence[Row]:
        """Run a `:many` query; return its rows."""

    async def execute(self, name: str, *arguments: object) -> int:
        """Run an `:exec` query; return the number of rows that it touched."""

    async def each(self, name: str, rows: Sequence[Sequence[object]]) -> Sequence[Row]:
        """Run a query with each row of arguments in turn; return the rows of all answers."""


class Database(Protocol):
    """Sessions of one database. All of them raise UnavailableError while it is away."""

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """Open a session in a transaction.

        At its end, all of it is on the disk; on an error, nothing of it is.
        """

    def reading(self) -> AbstractAsyncContextManager[Session]:
        """Open a session that only reads."""

    async def backup(self, target: Path) -> None:
        """Copy the database into a new file while it is used; raise BackupError."""


class BackupError(Exception):
    """A database cannot be copied; the message says why."""


class WrongDatabaseError(Exception):
    """What is there is no database of shares of this version; the message says what it is."""
