"""Typed access to closings, leaves, roots and lines."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from uuid import UUID

from libs.common.clock import micros_of
from libs.common.db.pool import Database, Record
from libs.kale.statements.document import Total
from libs.kale.statements.lines import NO_HISTORY, Line
from libs.kale.statements.roots import Root
from libs.kale.statements.sums_tree import Claim, Node
from services.harvest.domain.statements import (
    Closing,
    ClosingState,
    OpenLeaf,
    PublishedRoot,
    Written,
)

QUERIES = Path(__file__).parent / "queries_statements.sql"
#: After the last day that can be.
_LAST_DAY = 2**31 - 1


class StatementStore:
    """The tables closings, leaves and roots, and the lines of journals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> ClosingState:
        """Return where closings stand."""
        row = await self._database.one("closing_state")
        if row is None:
            raise LookupError("a time without a row")
        return ClosingState(**row)

    async def close(self, day: int) -> bool:
        """Close a day; return False when that was done before, or cannot be."""
        row = await self._database.one("close_day", day)
        return row is not None and bool(row["is_closed"])

    async def all_covered_since(self) -> int | None:
        """Return the first day that covers lines of poolers and miners; None: none does."""
        row = await self._database.one("all_covered_since")
        return None if row is None else row["day"]

    async def without_root(self) -> list[Closing]:
        """Return the days that are closed and have no root yet, oldest first."""
        return [Closing(**row) for row in await self._database.many("closings_without_root")]

    async def open_leaves(self, day: int, *, limit: int) -> list[OpenLeaf]:
        """Return owners whose histories are not worked out at a closing."""
        return [
            OpenLeaf(
                owner=row["owner_id"],
                is_farmer=row["is_farmer"],
                previous=row["previous"] or NO_HISTORY,
                after_journal=row["after_journal"],
            )
            for row in await self._database.many("open_leaves", day, limit)
        ]

    async def fill_history(self, day: int, owner: UUID, history: bytes) -> None:
        """Keep an owner's history at a closing; one that is there stays."""
        await self._database.execute("fill_history", day, owner, history)

    async def claims(self, day: int) -> list[Claim]:
        """Return what all owners had at the end of a day."""
        return [_claim(row) for row in await self._database.many("leaves", day)]

    async def claim(self, day: int, owner: UUID) -> Claim | None:
        """Return what an owner had at the end of a day; None when it had no account."""
        row = await self._database.one("leaf", day, owner)
        return None if row is None else _claim(row)

    async def insert_root(self, root: Root) -> None:
        """Keep a day's root; one that is there stays."""
        await self._database.execute(
            "insert_root",
            root.day,
            root.leaves,
            root.refused,
            root.node.hash,
            root.node.total,
            root.account,
            root.previous,
            root.record,
        )

    async def note_published(self, day: int, written: Written) -> None:
        """Keep what wrote a day's root to the chain; what is there stays."""
        await self._database.execute(
            "note_published", day, written.transaction_hash, written.ledger
        )

    async def roots(
        self, *, first: int = 0, last: int = _LAST_DAY, limit: int | None = None
    ) -> list[PublishedRoot]:
        """Return the roots of these days, newest first."""
        return [_root(row) for row in await self._database.many("roots", first, last, limit)]

    async def lines(
        self, owner: UUID, *, is_farmer: bool, after: int, until: int, limit: int
    ) -> list[Line]:
        """Return what was booked for an owner after a journal, up to another, oldest first."""
        query = "statement_lines" if is_farmer else "fee_lines"
        return list(_lines(await self._database.many(query, owner, after, until, limit)))

    async def totals(
        self, owner: UUID, *, is_farmer: bool, after: int, until: int
    ) -> tuple[Total, ...]:
        """Return what the same lines come to by kind."""
        query = "statement_totals" if is_farmer else "fee_totals"
        rows = await self._database.many(query, owner, after, until)
        return tuple(
            _total(kind, list(parts)) for kind, parts in groupby(rows, lambda row: str(row["kind"]))
        )


def _claim(row: Record) -> Claim:
    amounts = map(int, row["amounts"])
    return Claim(
        owner=row["owner_id"],
        address=row["address"],
        balances=tuple(zip(row["roles"], amounts, strict=True)),
        history=row["history"] or NO_HISTORY,
        salt=row["salt"],
    )


def _root(row: Record) -> PublishedRoot:
    return PublishedRoot(
        root=Root(
            day=row["day"],
            closed_at=micros_of(row["closed_at"]),
            last_journal=row["last_journal"],
            leaves=row["leaves"],
            refused=row["refused"],
            node=Node(hash=row["tree_hash"], total=int(row["total"])),
            account=row["account"],
            previous=row["previous"],
        ),
        transaction_hash=row["transaction_hash"],
        ledger=row["ledger"],
    )


def _lines(rows: Sequence[Record]) -> Iterator[Line]:
    for number, parts in groupby(rows, lambda row: int(row["number"])):
        entries = list(parts)
        first = entries[0]
        yield Line(
            number=number,
            kind=first["kind"],
            source_key=first["source_key"],
            block_index=first["block_index"],
            ledger=first["ledger"],
            transaction_hash=first["transaction_hash"],
            happened_at=micros_of(first["happened_at"]),
            amounts=tuple((row["role"], int(row["amount"])) for row in entries),
        )


def _total(kind: str, rows: Sequence[Record]) -> Total:
    """Return a total; the first row counts the lines."""
    amounts = ((row["role"], int(row["amount"])) for row in rows[1:])
    return Total(kind=kind, lines=rows[0]["lines"], amounts=tuple(one for one in amounts if one[1]))
