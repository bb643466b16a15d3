"""The queries of the fault runs."""

from pathlib import Path

from libs.common.db.queries import load_queries
from trials import records
from trials.payments import QUERIES
from trials.records import PATIENCE

__all__ = ["PATIENCE", "Records"]

_QUERIES = load_queries(Path(__file__).parent / "records.sql", QUERIES)


class Records(records.Records):
    """The queries of records.sql, and those of payments."""

    def __init__(self, dsn: str) -> None:
        """Take the administrator's `dsn`."""
        super().__init__(dsn, _QUERIES)
