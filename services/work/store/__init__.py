"""work's tables: its own SQL in queries.sql, the SQL that all batches share in libs/batches."""
