"""Opens the database of shares that a setting names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.common.db.tls import DatabaseAddress
from pooler.shares.store.sqlite import open_sqlite
from pooler.shares.store.store import Store

#: How an address of PostgreSQL begins; anything else is a file.
_POSTGRES = ("postgresql://", "postgres://")


def is_postgres(place: str) -> bool:
    """Tell whether a setting names PostgreSQL."""
    return place.startswith(_POSTGRES)


@asynccontextmanager
async def open_store(place: str, *, authority: Path | None = None) -> AsyncIterator[Store]:
    """Open the database: a file of SQLite, or PostgreSQL by its address (postgresql://...).

    `authority` has the certificates (PEM) of who vouches for PostgreSQL. Raise WrongDatabaseError,
    OSError, or UnavailableError.
    """
    if is_postgres(place):
        # asyncpg is loaded for those only who use it.
        from pooler.shares.store.postgres import open_postgres  # noqa: PLC0415

        async with open_postgres(DatabaseAddress(dsn=place, authority=authority)) as postgres:
            yield Store(postgres)
        return
    async with open_sqlite(Path(place)) as sqlite:
        yield Store(sqlite)
