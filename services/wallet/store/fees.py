"""Sums of what the network was paid, by hour, day and month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from libs.common.db.pool import Database, Session
from libs.common.ids import OperationId, PoolerId
from libs.common.spans import Span
from services.wallet.domain.fee_reports import Fee, FeeKind, Fees, in_order


@dataclass(frozen=True, kw_only=True)
class Charged:
    """What was charged once."""

    #: The operation; None when no operation asked for it.
    operation_id: OperationId | None
    #: Stroops of XLM.
    fee: int
    #: It was paid for longer lives of entries.
    is_rent: bool = False


async def add_fees(session: Session, charged: Sequence[Charged]) -> None:
    """Add what was charged to the sums, in the transaction that records that it was."""
    if charged:
        await session.execute(
            "add_fees",
            [item.operation_id for item in charged],
            [item.fee for item in charged],
            [item.is_rent for item in charged],
        )


@dataclass(frozen=True, kw_only=True)
class FeesBegan:
    """The database's time, and since when there can be fees."""

    #: The database's time.
    now: datetime
    #: None: there is no such pooler, or no treasury yet.
    registered_at: datetime | None


class FeeStore:
    """The reads of the sums."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def began(self, pooler_id: PoolerId | None) -> FeesBegan:
        """Return since when the pool, or a pooler, can have paid fees."""
        row = await self._database.one("fees_began", pooler_id)
        if row is None:
            raise LookupError("moments without a row")
        return FeesBegan(**row)

    async def fees(
        self, pooler_id: PoolerId | None, span: Span, starts: Sequence[datetime]
    ) -> list[Fees]:
        """Return what was charged in the spans that began at these moments, newest first."""
        asked = (span.value, starts, pooler_id)
        charged = await self._database.many("fees_of_spans", *asked)
        kinds = {
            start: in_order(
                [
                    Fee(
                        kind=FeeKind.read(row["kind"]),
                        stroops=row["stroops"],
                        charges=row["charges"],
                    )
                    for row in rows
                ]
            )
            for start, rows in groupby(charged, key=itemgetter("starts_at"))
        }
        rewards = await self._database.many("rewards_of_spans", *asked)
        return [
            Fees(
                starts_at=row["starts_at"],
                kinds=kinds.get(row["starts_at"], ()),
                rewards=row["rewards"],
            )
            for row in rewards
        ]
