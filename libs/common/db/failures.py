"""Failures of PostgreSQL: what each means for callers, and its cause for the log.

Whatever keeps a statement from being run at all is UnavailableError: the same call succeeds once an
operator has mended it. Callers hear one sentence without particulars; the log has the cause, once.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from libs.common.errors import UnavailableError
from libs.common.log import get_logger

log = get_logger(__name__)

#: PostgreSQL is not there, or cannot take a statement now.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    # asyncpg's error for a connection that the server ended while nothing ran on it.
    asyncpg.InternalClientError,
    asyncpg.ReadOnlySQLTransactionError,
    # Somebody holds what a statement waited for.
    asyncpg.LockNotAvailableError,
)
#: PostgreSQL does not let us in: password, pg_hba.conf, role, or database.
_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
#: It has not what our statements name: another database, or one that was not migrated.
_FOREIGN = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedObjectError,
    asyncpg.InsufficientPrivilegeError,
)


class DatabaseUnavailableError(UnavailableError):
    """PostgreSQL is away."""

    default_reason = "DATABASE_UNAVAILABLE"


class DatabaseRefusesError(UnavailableError):
    """PostgreSQL does not let this service in: password, pg_hba.conf, role or database."""

    default_reason = "DATABASE_REFUSES"


class DatabaseForeignError(UnavailableError):
    """The database is not as this release needs it: it was not migrated, or is another one."""

    default_reason = "DATABASE_FOREIGN"


class Causes:
    """The causes of failures in the log: each once, until PostgreSQL answers again."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def failed(self, cause: str) -> None:
        """Log a cause that was not logged since PostgreSQL last answered."""
        if cause not in self._told:
            self._told.add(cause)
            log.warning("database is not available", cause=cause)

    def answered(self) -> None:
        """Note that PostgreSQL answers."""
        if self._told:
            self._told.clear()
            log.info("database is available again")


@contextmanager
def translated_errors(told: Causes | None = None) -> Iterator[None]:
    """Turn what keeps statements from being run into UnavailableError; tell the cause."""
    try:
        yield
    except (*_AWAY, *_REFUSED, *_FOREIGN) as error:
        if told is not None:
            told.failed(cause_of(error))
        raise _error_for(error) from error


def cause_of(error: BaseException) -> str:
    """Return the cause of a failure: the error's kind, and the words of PostgreSQL or the system.

    Several addresses that were tried have a cause each.
    """
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(cause_of(one) for one in error.exceptions)
    words = " ".join(str(error).split()) or "no answer in time"
    return f"{type(error).__name__}: {words}"


def _error_for(error: BaseException) -> UnavailableError:
    if isinstance(error, _REFUSED):
        return DatabaseRefusesError("the database refuses this service", retry_after=1.0)
    if isinstance(error, _FOREIGN):
        return DatabaseForeignError(
            "the database is not as this release needs it: migrate it", retry_after=1.0
        )
    return DatabaseUnavailableError("the database is not available", retry_after=1.0)
