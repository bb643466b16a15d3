"""The database of shares in one file of SQLite.

Written ahead (WAL) and synchronised at each commit: what was committed survives a kill and a power
failure (https://www.sqlite.org/pragma.html#pragma_synchronous). Each connection has a thread of its
own, so nothing waits for the disk but who has asked.
"""

import asyncio
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from libs.common.db.queries import Query, QueryKind, load_queries
from libs.common.errors import UnavailableError
from pooler.shares.store.database import (
    FOLDER,
    QUERIES,
    SCHEMA,
    SCHEMA_FACT,
    BackupError,
    WrongDatabaseError,
)

T = TypeVar("T")
#: Seconds that a statement waits for another process, such as the command that bans.
_BUSY = 10.0
_PLACE = re.compile(r"\$(?=[0-9])")
_SCHEMA_NAME = re.compile(r"\bshares\.(?=\w)")
_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # On macOS a disk has to be told to write down what it has taken.
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA foreign_keys = ON",
)
#: Pages of a copy that are read at a time: writers wait meanwhile.
_PAGES = 1000


def in_sqlite(sql: str) -> str:
    """Return a statement as SQLite takes it: there is no schema, and places have other names."""
    return _PLACE.sub("?", _SCHEMA_NAME.sub("", sql))


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what a full disk, or another writer, causes into UnavailableError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UnavailableError(
            "the database of shares is not available",
            reason="DATABASE_UNAVAILABLE",
            retry_after=1.0,
        ) from error


class _Thread:
    """A connection and the thread that alone uses it."""

    def __init__(self, connection: sqlite3.Connection, queries: dict[str, Query]) -> None:
        self._connection = connection
        self._queries = queries
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="shares")

    async def run(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run something in the thread."""
        loop = asyncio.get_running_loop()
        with _translated():
            return await loop.run_in_executor(self._executor, act, self._connection)

    def close(self) -> None:
        """End the thread once it has done all, and the connection."""
        self._executor.shutdown()
        self._connection.close()

    async def one(self, name: str, *arguments: object) -> sqlite3.Row | None:
        """See Session."""
        sql = self._sql(name, "one")
        return await self.run(lambda db: next(iter(db.execute(sql, arguments).fetchall()), None))

    async def many(self, name: str, *arguments: object) -> Sequence[sqlite3.Row]:
        """See Session."""
        sql = self._sql(name, "many")
        return await self.run(lambda db: db.execute(sql, arguments).fetchall())

    async def execute(self, name: str, *arguments: object) -> int:
        """See Session."""
        sql = self._sql(name, "exec")
        return await self.run(lambda db: db.execute(sql, arguments).rowcount)

    async def each(self, name: str, rows: Sequence[Sequence[object]]) -> Sequence[sqlite3.Row]:
        """See Session."""
        sql = self._queries[name].sql
        return await self.run(
            lambda db: [found for row in rows for found in db.execute(sql, row).fetchall()]
        )

    def _sql(self, name: str, kind: QueryKind) -> str:
        query = self._queries[name]
        if query.kind != kind:
            raise ValueError(f"query {name} is :{query.kind}, called as :{kind}")
        return query.sql


class SqliteDatabase:
    """One file; one connection writes, another one reads beside it."""

    def __init__(self, path: Path, writer: _Thread, reader: _Thread) -> None:
        """Take connections that are open."""
        self._path = path
        self._writer = writer
        self._reader = reader
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[_Thread]:
        """See Database."""
        async with self._writing:
            try:
                # Who is cancelled meanwhile has begun all the same: the thread goes on.
                await self._writer.run(lambda db: db.execute("BEGIN IMMEDIATE"))
                yield self._writer
                await self._writer.run(lambda db: db.execute("COMMIT"))
            except BaseException:
                await asyncio.shield(self._writer.run(_roll_back))
                raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[_Thread]:
        """See Database."""
        yield self._reader

    async def backup(self, target: Path) -> None:
        """See Database."""
        await asyncio.to_thread(copy_file, self._path, target)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator[SqliteDatabase]:
    """Open the file, which is made when it is not there.

    Raise WrongDatabaseError for a file that is something else, and OSError where none can be made.
    """
    queries = {
        name: Query(name=name, kind=query.kind, sql=in_sqlite(query.sql))
        for name, query in load_queries(QUERIES).items()
    }
    writer = _Thread(await asyncio.to_thread(_made, path), queries)
    reader = _Thread(_connected(path), queries)
    try:
        yield SqliteDatabase(path, writer, reader)
    finally:
        reader.close()
        writer.close()


def _made(path: Path) -> sqlite3.Connection:
    """Return a connection to a database of shares."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):  # the file holds what opens accounts: for its owner only
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    connection = _connected(path)
    try:
        for setting in _SETTINGS:
            connection.execute(setting)
        connection.execute("BEGIN IMMEDIATE")
        _make_tables(connection, path)
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise WrongDatabaseError(f"{path} is no database of shares: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection, path: Path) -> None:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    if not tables:
        schema = (FOLDER / "schema_sqlite.sql").read_text(encoding="utf-8")
        for statement in schema.split(";\n"):
            connection.execute(statement)
        connection.execute("INSERT INTO facts VALUES (?, ?)", (SCHEMA_FACT, SCHEMA))
    query = "SELECT value FROM facts WHERE name = ?"
    found = connection.execute(query, (SCHEMA_FACT,)) if {"facts"} <= tables or not tables else None
    version = None if found is None else found.fetchone()
    if version is None or version[0] != SCHEMA:
        raise WrongDatabaseError(f"{path} is no database of shares of this version")


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.row_factory = sqlite3.Row
    return connection


def copy_file(path: Path, target: Path) -> None:
    """Copy a database that may be in use into a new file; raise BackupError.

    The target appears under its name only when it is whole, and was found to be sound.
    """
    if not path.is_file():
        raise BackupError(f"there is no file {path}")
    if target.exists():
        raise BackupError(f"{target} is there already")
    beginning = target.with_name(f".{target.name}.part")
    try:
        beginning.unlink(missing_ok=True)
        os.close(os.open(beginning, os.O_CREAT | os.O_EXCL, 0o600))
        with closing(_connected(path)) as source, closing(_connected(beginning)) as copy:
            source.backup(copy, pages=_PAGES)
            # One file is easier to carry away than one with its log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
            (word,) = copy.execute("PRAGMA integrity_check").fetchone()
            if word != "ok":
                raise BackupError(f"the copy is not sound: {word}")
        beginning.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{path} cannot be copied: {error}") from error
    finally:
        with suppress(OSError):
            beginning.unlink(missing_ok=True)
