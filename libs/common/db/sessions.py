"""The settings of every session of ours, whatever the database or the server is set to."""


def session_settings(timeout_ms: int, lock_timeout_ms: int) -> dict[str, str]:
    """Return the settings by their names in PostgreSQL.

    A statement ends after `timeout_ms`, and after `lock_timeout_ms` when it waits for a lock.
    """
    return {
        # Every name in a query says its schema: nobody can put another function in its place.
        "search_path": "pg_catalog",
        # A transaction that waited for a lock sees what the others have committed, and what is
        # committed survives the server's end.
        "default_transaction_isolation": "read committed",
        "synchronous_commit": "on",
        # Statements are short and come often. Where the server compiles them, as Debian's does by
        # default, that takes a hundred times as long as the statement.
        "jit": "off",
        "statement_timeout": str(timeout_ms),
        "lock_timeout": str(min(lock_timeout_ms, timeout_ms)),
        # A transaction that a dead or stuck process left open must not hold its locks for ever.
        "idle_in_transaction_session_timeout": str(timeout_ms),
    }
