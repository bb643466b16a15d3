"""PostgreSQL of the wallet: SQL in queries/, one typed method for each, rows as dataclasses."""

from pathlib import Path

#: One file per room: wallets, operations, transactions, chain ...
QUERIES = sorted((Path(__file__).parent / "queries").glob("*.sql"))
MIGRATIONS = Path(__file__).parent / "migrations"
