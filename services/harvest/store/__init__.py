"""harvest's tables: its own SQL in queries.sql, what all batches share in libs/batches."""
