"""PostgreSQL: a pool with typed errors, queries from .sql files, forward-only migrations."""
