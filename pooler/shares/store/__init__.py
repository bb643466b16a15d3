"""The database of shares: SQLite in one file, or PostgreSQL, by the same statements."""
