"""A service's database, by the settings that all services have."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from libs.common.config import ServiceSettings
from libs.common.db.pool import Database, open_database
from libs.common.db.schemas import Release


def open_database_of(
    settings: ServiceSettings,
    *,
    queries: Path | Sequence[Path],
    name: str,
    release: Release,
    actor: Callable[[], str] | None = None,
    pool_size: int | None = None,
) -> AbstractAsyncContextManager[Database]:
    """Open a service's database (see open_database), by default with as many connections as set."""
    return open_database(
        settings.database(),
        queries=queries,
        pool_size=settings.database_pool_size if pool_size is None else pool_size,
        timeout_ms=settings.database_timeout,
        lock_timeout_ms=settings.database_lock_timeout_ms,
        pgbouncer=settings.database_pgbouncer,
        name=name,
        actor=actor,
        release=release,
    )
