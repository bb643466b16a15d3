"""The check of PostgreSQL's version."""

from functools import cache
from typing import Protocol

from libs.common.errors import UnavailableError
from libs.common.log import get_logger

log = get_logger(__name__)

#: The oldest major version: schemas say UNIQUE NULLS NOT DISTINCT, which is new in it.
LEAST = 15


class DatabaseTooOldError(UnavailableError):
    """PostgreSQL is older than what this pool needs."""

    default_reason = "DATABASE_TOO_OLD"


class _Version(Protocol):
    """asyncpg's ServerVersion."""

    @property
    def major(self) -> int:
        """Return the major version: 15 for PostgreSQL 15.4."""


class _Connection(Protocol):
    """The part of a connection that the check needs."""

    def get_server_version(self) -> _Version:
        """Return the version that the server named when the connection began."""


async def refuse_old(connection: _Connection) -> None:
    """Raise DatabaseTooOldError for a version below LEAST; costs no round trip."""
    major = connection.get_server_version().major
    if major < LEAST:
        _tell(major)
        raise DatabaseTooOldError(
            f"PostgreSQL {major} is too old: this pool needs {LEAST} or newer"
        )


@cache
def _tell(major: int) -> None:
    """Log the old version once: the health check asks every second."""
    log.error("postgresql is too old", major=major, least=LEAST)
