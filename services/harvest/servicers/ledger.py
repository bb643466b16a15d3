"""kalepool.harvest.v1.LedgerService: each method maps the request, calls, maps the result."""

from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.harvest.v1 import ledger_pb2, ledger_pb2_grpc

from libs.common.grpc.spans import timestamp
from libs.common.ids import FarmerId
from libs.common.paging import id_after, size_of, token_after
from libs.kale.constants import MAX_I64
from services.harvest.domain.ledger import POOL, Account, Difference, Entry, Journal, LedgerCheck
from services.harvest.store.ledger import BookkeepingStore
from services.harvest.usecases.bookkeeping import Bookkeeper
from services.harvest.usecases.closing import Closer
from services.harvest.usecases.ledger import Ledger

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name
_ASSETS = {
    "": ledger_pb2.LEDGER_ASSET_UNSPECIFIED,
    "kale": ledger_pb2.LEDGER_ASSET_KALE,
    "xlm": ledger_pb2.LEDGER_ASSET_XLM,
}
#: The least number that a field of a message holds.
_MIN_I64 = -(2**63)


class LedgerServicer(ledger_pb2_grpc.LedgerServiceServicer):
    """Servicer of kalepool.harvest.v1.LedgerService."""

    def __init__(
        self, ledger: Ledger, bookkeeper: Bookkeeper, books: BookkeepingStore, closer: Closer
    ) -> None:
        self._ledger = ledger
        self._bookkeeper = bookkeeper
        self._books = books
        self._closer = closer

    async def CheckLedger(
        self, request: ledger_pb2.CheckLedgerRequest, context: Context
    ) -> ledger_pb2.CheckLedgerResponse:
        """See ledger.proto."""
        return check_message(await self._ledger.check())

    async def GetLedgerStatus(
        self, request: ledger_pb2.GetLedgerStatusRequest, context: Context
    ) -> ledger_pb2.GetLedgerStatusResponse:
        """See ledger.proto."""
        books, last = await self._books.state(), self._ledger.last_check
        return ledger_pb2.GetLedgerStatusResponse(
            booked_until=timestamp(books.read.at),
            lost_before_block=books.lost_before,
            checked_at=None if last is None else timestamp(last.at),
            warnings=[
                *self._ledger.warnings,
                *self._bookkeeper.warnings,
                *self._closer.warnings,
            ],
        )

    async def ListJournals(
        self, request: ledger_pb2.ListJournalsRequest, context: Context
    ) -> ledger_pb2.ListJournalsResponse:
        """See ledger.proto."""
        farmer, size = FarmerId(UUID(request.farmer_id)), size_of(request.page_size)
        # A journal's number may be larger than an index of a token.
        before = id_after(request.page_token)
        accounts = await self._ledger.accounts(farmer)
        found = await self._ledger.journals(
            farmer, before=None if before is None else min(before.int, MAX_I64), limit=size + 1
        )
        return ledger_pb2.ListJournalsResponse(
            accounts=map(account_message, accounts),
            journals=map(journal_message, found[:size]),
            next_page_token=token_after([UUID(int=one.journal_id) for one in found], size),
        )


def check_message(found: LedgerCheck) -> ledger_pb2.CheckLedgerResponse:
    """Return the message of a look at the whole ledger."""
    return ledger_pb2.CheckLedgerResponse(
        checked_at=timestamp(found.at),
        accounts=found.accounts,
        journals=found.journals,
        entries=found.entries,
        differences=map(difference_message, found.differences),
        overdrawn=map(account_message, found.overdrawn),
    )


def difference_message(difference: Difference) -> ledger_pb2.LedgerDifference:
    """Return the message of something that does not add up."""
    name = f"LEDGER_DIFFERENCE_KIND_{difference.kind.upper()}"
    return ledger_pb2.LedgerDifference(
        kind=ledger_pb2.LedgerDifferenceKind.Value(name),
        owner_id=_owner(difference.owner_id),
        role=difference.role,
        asset=_ASSETS[difference.asset],
        journal_id=difference.journal_id,
        kept=_fit(difference.kept),
        expected=_fit(difference.expected),
    )


def account_message(account: Account) -> ledger_pb2.LedgerAccount:
    """Return the message of an account."""
    return ledger_pb2.LedgerAccount(
        owner_id=_owner(account.owner_id),
        role=account.role,
        asset=_ASSETS[account.asset],
        amount=_fit(account.amount),
        entries=account.entries,
    )


def journal_message(journal: Journal) -> ledger_pb2.Journal:
    """Return the message of a journal."""
    return ledger_pb2.Journal(
        journal_id=journal.journal_id,
        kind=ledger_pb2.JournalKind.Value(f"JOURNAL_KIND_{journal.kind.upper()}"),
        source_key=journal.source_key,
        block_index=journal.block_index,
        ledger=journal.ledger,
        transaction_hash=journal.transaction_hash,
        happened_at=timestamp(journal.happened_at),
        entries=map(_entry_message, journal.entries),
    )


def _entry_message(entry: Entry) -> ledger_pb2.JournalEntry:
    return ledger_pb2.JournalEntry(
        owner_id=_owner(entry.owner_id),
        role=entry.role,
        asset=_ASSETS[entry.asset],
        amount=_fit(entry.amount),
    )


def _owner(owner_id: UUID | None) -> str:
    return "" if owner_id is None or owner_id == POOL else str(owner_id)


def _fit(amount: int) -> int:
    return max(_MIN_I64, min(amount, MAX_I64))
