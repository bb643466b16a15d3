"""Typed access to the pool's ledger: accounts, journals and entries."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from uuid import UUID

import asyncpg

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import FarmerId
from services.harvest.domain.bookkeeping import (
    Bookings,
    Bookkeeping,
    FeePayment,
    Holding,
    Position,
    Transfer,
)
from services.harvest.domain.errors import BookingRefusedError
from services.harvest.domain.ledger import (
    Account,
    Difference,
    Entry,
    Journal,
    Proven,
    Sum,
    Unexplained,
)

QUERIES = Path(__file__).parent / "queries_ledger.sql"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The whole ledger as it was at one moment, whatever is booked meanwhile."""

    #: The session that sees it so.
    session: Session
    #: The moment.
    at: datetime
    #: The newest journal.
    last: int

    async def accounts(self) -> list[Account]:
        """Return all accounts."""
        return [_account(row) for row in await self.session.many("ledger_accounts")]

    async def sums(self, after: int, until: int) -> dict[int, Sum]:
        """Return by account what the entries of a range of journals add up to."""
        rows = await self.session.many("ledger_sums", after, until)
        return {
            row["account_id"]: Sum(amount=int(row["amount"]), entries=row["entries"])
            for row in rows
        }

    async def unbalanced(self, after: int, until: int) -> list[Difference]:
        """Return the journals of a range whose entries do not add up to nothing."""
        rows = await self.session.many("unbalanced_journals", after, until)
        return [
            Difference(
                kind="journal",
                journal_id=row["journal_id"],
                asset=row["asset"],
                kept=int(row["amount"]),
                expected=0,
            )
            for row in rows
        ]

    async def booked_earnings(self, after: int, until: int) -> dict[UUID, int]:
        """Return by farmer what a range of journals gave of rewards."""
        rows = await self.session.many("booked_earnings", after, until)
        return {row["farmer_id"]: int(row["amount"]) for row in rows}

    async def kept_earnings(self) -> dict[UUID, int]:
        """Return what each farmer has earned, as it is told."""
        rows = await self.session.many("kept_earnings")
        return {row["farmer_id"]: row["current_balance"] for row in rows}

    async def booked_holdings(self, after: int, until: int) -> dict[UUID, int]:
        """Return by farmer what a range of journals moved into its account on the chain."""
        rows = await self.session.many("booked_holdings", after, until)
        return {row["farmer_id"]: int(row["amount"]) for row in rows}

    async def kept_holdings(self) -> dict[UUID, int]:
        """Return what each farmer's account on the chain has to hold."""
        rows = await self.session.many("kept_holdings")
        return {row["farmer_id"]: int(row["amount"]) for row in rows}

    async def unexplained(self) -> list[Unexplained]:
        """Return what the chain shows and the ledger does not explain."""
        rows = await self.session.many("unexplained")
        return [Unexplained(**{**row, "amount": int(row["amount"])}) for row in rows]

    async def settled(self) -> int:
        """Return the newest journal before which none can still come."""
        row = await self.session.one("settled_journal")
        return 0 if row is None else int(row["journal_id"])

    async def last_pot(self) -> int | None:
        """Return the newest block with a part for miners."""
        row = await self.session.one("last_pot")
        return None if row is None else row["block_index"]

    async def wrong_pots(self, first: int, last: int) -> list[Difference]:
        """Return the blocks of a range of which something else is divided than was given."""
        return [
            Difference(
                kind="credits",
                owner_id=row["pooler_id"],
                role=f"miner:earned of block {row['block_index']}",
                asset="kale",
                kept=int(row["divided"]),
                expected=int(row["given"]),
            )
            for row in await self.session.many("wrong_pots", first, last)
        ]

    async def journals(self, after: int, until: int) -> int:
        """Count the journals of a range."""
        row = await self.session.one("count_journals", after, until)
        return 0 if row is None else int(row["journals"])


class LedgerStore:
    """The reads of the ledger, and what the last look by night has proven."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Look at the whole ledger as it is now."""
        async with self._database.snapshot() as session:
            row = await session.one("ledger_state")
            if row is None:
                raise LookupError("a time without a row")
            await session.execute("read_in_bulk")
            yield Snapshot(session=session, at=row["now"], last=row["last"])

    async def proven(self) -> Proven:
        """Return what the last sound look by night has proven; nothing before the first one."""
        row = await self._database.one("ledger_mark")
        if row is None:
            return Proven()
        found = zip(row["accounts"], row["amounts"], row["entries"], strict=True)
        return Proven(
            journal_id=row["journal_id"],
            journals=row["journals"],
            block_index=row["block_index"],
            sums={
                account: Sum(amount=int(amount), entries=entries)
                for account, amount, entries in found
            },
            earned=_by_farmer(row["earners"], row["earned"]),
            held=_by_farmer(row["holders"], row["held"]),
        )

    async def save_proven(self, proven: Proven) -> None:
        """Keep what a look has proven."""
        await self._database.execute(
            "save_ledger_mark",
            proven.journal_id,
            proven.journals,
            proven.block_index,
            list(proven.sums),
            [Decimal(one.amount) for one in proven.sums.values()],
            [one.entries for one in proven.sums.values()],
            list(proven.earned),
            list(map(Decimal, proven.earned.values())),
            list(proven.held),
            list(map(Decimal, proven.held.values())),
        )

    async def accounts_of(self, farmer_id: FarmerId) -> list[Account]:
        """Return a farmer's accounts."""
        return [_account(row) for row in await self._database.many("farmer_accounts", farmer_id)]

    async def journals_of(
        self, farmer_id: FarmerId, *, before: int | None, limit: int
    ) -> list[Journal]:
        """Return a farmer's journals, newest first."""
        rows = await self._database.many("farmer_journals", farmer_id, before, limit)
        return [
            _journal(list(entries)) for _, entries in groupby(rows, lambda row: row["journal_id"])
        ]


class BookkeepingStore:
    """What is booked of wallet's movements, and how far they are read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> Bookkeeping:
        """Return how far everything is booked."""
        row = await self._database.one("bookkeeping")
        if row is None:
            raise LookupError("harvest.bookkeeping has no row")
        return Bookkeeping(
            read=Position(at=row["read_at"], operation_id=row["read_id"]),
            lost_before=row["lost_before"],
        )

    async def book(
        self, bookings: Bookings, read: Sequence[Position], *, settled_after: float
    ) -> int:
        """Book what movements come to; return how many journals that made.

        With the last of them it is remembered how far was read, up to what is older than so many
        seconds. Raises BookingRefusedError.
        """
        booked = await self.book_movements(bookings)
        async with refusals(), self._database.transaction() as session:
            await session.one("lock_bookkeeping")
            names = [str(name) for name in bookings.denials]
            booked += await _count(session, "book_denials", names)
            await session.execute(
                "advance_bookkeeping",
                [position.at for position in read],
                [position.operation_id for position in read],
                settled_after,
            )
        return booked

    async def book_deposits(self, held: Sequence[Holding], *, settled_after: float) -> int:
        """Book what the chain shows in accounts and nothing explains; return how many journals.

        It is noted first, and booked once it is the same for so many seconds.
        """
        async with refusals(), self._database.transaction() as session:
            await session.one("lock_bookkeeping")
            return await _count(
                session,
                "book_deposits",
                [one.farmer_id for one in held],
                [one.pooler_id for one in held],
                [one.kale for one in held],
                [one.ledger for one in held],
                settled_after,
            )

    async def short_holdings(self) -> int:
        """Count the farmers whose accounts hold less than the ledger says."""
        row = await self._database.one("short_holdings")
        return 0 if row is None else int(row["farmers"])

    async def book_movements(self, bookings: Bookings) -> int:
        """Book transfers, and payments of fees; return how many journals that made.

        Not in one transaction: balances are locked in one order, once. Raises BookingRefusedError.
        """
        booked = 0
        for query, columns in (
            ("book_transfers", _columns(bookings.transfers)),
            ("book_payments", _payment_columns(bookings.payments)),
        ):
            if columns[0]:
                async with refusals(), self._database.transaction() as session:
                    await session.one("lock_bookkeeping")
                    booked += await _count(session, query, *columns)
        return booked

    async def book_losses(self, before_block: int) -> int:
        """Book the stakes of blocks before this one that are lost; return how many."""
        async with self._database.transaction() as session:
            await session.one("lock_bookkeeping")
            return await _count(session, "book_losses", before_block)


@asynccontextmanager
async def refusals() -> AsyncIterator[None]:
    """Turn the database's refusal of a journal into BookingRefusedError."""
    try:
        yield
    except asyncpg.CheckViolationError as error:
        raise BookingRefusedError(str(error)) from error


async def _count(session: Session, query: str, *arguments: object) -> int:
    row = await session.one(query, *arguments)
    return 0 if row is None else int(row["booked"])


def _columns(transfers: Sequence[Transfer]) -> tuple[list[object], ...]:
    """Return transfers as the arguments of the query, in order."""
    told = [item.movement for item in transfers]
    return (
        [item.kind for item in transfers],
        [str(one.operation_id) for one in told],
        [one.farmer_id for one in told],
        [one.pooler_id for one in told],
        [item.block_index for item in transfers],
        [one.ledger for one in told],
        [one.transaction_hash for one in told],
        [one.at for one in told],
        [item.amount for item in transfers],
    )


def _payment_columns(payments: Sequence[FeePayment]) -> tuple[list[object], ...]:
    """Return payments of fees as the arguments of the query, in order."""
    told = [item.movement for item in payments]
    return (
        [item.kind for item in payments],
        [str(one.operation_id) for one in told],
        [one.farmer_id for one in told],
        [one.pooler_id for one in told],
        [item.owner_id for item in payments],
        [one.ledger for one in told],
        [one.transaction_hash for one in told],
        [one.at for one in told],
        [item.pooler for item in payments],
        [item.miners for item in payments],
        [item.operator for item in payments],
    )


def _by_farmer(farmers: Sequence[UUID], amounts: Sequence[Decimal]) -> dict[UUID, int]:
    return dict(zip(farmers, map(int, amounts), strict=True))


def _account(row: Record) -> Account:
    return Account(**{**row, "amount": int(row["amount"])})


def _journal(rows: Sequence[Record]) -> Journal:
    """Return the journal of which these are the entries."""
    first = rows[0]
    return Journal(
        journal_id=first["journal_id"],
        kind=first["kind"],
        source_key=first["source_key"],
        block_index=first["block_index"],
        ledger=first["ledger"],
        transaction_hash=first["transaction_hash"],
        happened_at=first["happened_at"],
        entries=tuple(
            Entry(
                owner_id=row["owner_id"],
                role=row["role"],
                asset=row["asset"],
                amount=int(row["amount"]),
            )
            for row in rows
        ),
    )
