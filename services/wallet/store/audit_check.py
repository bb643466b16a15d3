"""The audit log held against the rows that its records tell of.

A log that was emptied, cut, or written anew as a whole is sound in itself. What stands beside it is
not: each signed transaction, withdrawal, root, wallet, payout address, agreement, owner account,
mark of a pooler, pause and token has its record, and each record what it tells of.
"""

from datetime import datetime, timedelta
from uuid import UUID

from libs.common.db.pool import Database, Session
from services.wallet.domain.audit import Findings, Record

#: Rows that are read at once.
_PAGE = 5000
#: What is looked for in the log, with the query that reads a page of it.
_TABLES = (
    ("transaction", "recorded_transactions"),
    ("withdrawal", "recorded_withdrawals"),
    ("payout", "recorded_payouts"),
    ("payment from a pooler's account", "recorded_pool_payments"),
    ("root", "recorded_data_entries"),
    ("wallet", "recorded_wallets"),
    ("payout address of wallet", "recorded_addresses"),
    ("agreement of wallet", "recorded_agreements"),
    ("owner account of wallet", "recorded_owner_accounts"),
    ("mark of pooler", "recorded_pooler_marks"),
    ("pause", "recorded_pauses"),
    ("token", "recorded_tokens"),
)
#: The table whose rows grow with every ledger; of the others all are looked at each time.
_LARGE = "recorded_transactions"
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)
#: Less than any number that a record can have.
_LEAST = -(2**63)
#: An id is made a while before its row is committed, by another clock than the database's.
_EARLIER = timedelta(days=1)


class AuditCheck:
    """Comparisons of the audit log with other tables."""

    def __init__(self, database: Database | Session) -> None:
        self._database = database

    async def rows(self, findings: Findings, *, since: datetime | None = None) -> None:
        """Add the rows that no record tells of; of transactions only newer ones, `since` then."""
        for name, query in _TABLES:
            first = _FIRST
            if query == _LARGE and since is not None:
                first = first_id(since - _EARLIER)
            # Whoever writes a row chooses its id: the least and the greatest are looked at, too.
            while rows := await self._database.many(query, first, _PAGE):
                findings.add(
                    query,
                    (
                        f"the audit log has no record of {name} {row['id']} as it is"
                        for row in rows
                        if not row["is_recorded"]
                    ),
                )
                if rows[-1]["id"].int == _LAST.int:
                    break
                first = UUID(int=rows[-1]["id"].int + 1)

    async def records(self, page: list[Record], findings: Findings) -> None:
        """Add the records of this page that tell of something which is not there."""
        numbers = max(page[0].number - 1, _LEAST), page[-1].number
        for row in await self._database.many("records_without_rows", *numbers):
            told = f"what record {row['number']} tells of is not there"
            findings.add("records", [told])


def first_id(moment: datetime) -> UUID:
    """Return the least UUIDv7 of a moment."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)
