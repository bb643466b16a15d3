"""work's tables: SQL in queries.sql, one typed method per query."""
