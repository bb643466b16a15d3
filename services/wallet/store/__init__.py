"""PostgreSQL of the wallet: SQL in queries.sql, one typed method each, rows as dataclasses."""

from pathlib import Path

QUERIES = Path(__file__).parent / "queries.sql"
