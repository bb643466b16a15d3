"""Signed envelopes: committed before they are sent, closed when their fate is known."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from libs.common.db.pool import Database, Record
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.chain.model import SignedEnvelope
from services.wallet.domain.model import (
    CarriedOperation,
    OpenTransaction,
    OperationEvent,
    OperationKind,
    Settlement,
    TransactionEvent,
    TransactionId,
    TransactionState,
)
from services.wallet.domain.states import OPERATION_EDGES, TRANSACTION_EDGES, sources, target
from services.wallet.store.operations import settle


class _LostError(Exception):
    """Another process was faster: the transaction that this was thrown in rolls back."""


class TransactionStore:
    """The tables transactions and transaction_operations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def commit_signed(
        self,
        envelope: SignedEnvelope,
        operation_ids: Sequence[OperationId],
        *,
        ledger: int,
        stakes_returned: Sequence[int],
    ) -> TransactionId | None:
        """Makes an envelope durable with what it carries, before a byte of it leaves.

        None when the source has one in flight, or an operation is no longer queued: then nothing
        is recorded, and the envelope must be thrown away.
        """
        transaction_id = TransactionId(new_id())
        try:
            async with self._database.transaction() as session:
                inserted = await session.execute(
                    "insert_transaction",
                    transaction_id,
                    envelope.source,
                    envelope.sequence,
                    envelope.hash,
                    envelope.inner_hash or envelope.hash,
                    envelope.xdr,
                    envelope.max_time,
                    envelope.fee_bid,
                    ledger,
                )
                _require(inserted == 1)
                ids = list(operation_ids)
                await session.execute("insert_transaction_operations", transaction_id, ids)
                signed = await session.execute(
                    "sign_operations",
                    transaction_id,
                    ids,
                    list(stakes_returned),
                    [state.value for state in sources(OPERATION_EDGES, OperationEvent.SIGN)],
                )
                _require(signed == len(ids))
        except _LostError:
            return None
        return transaction_id

    async def note_answer(
        self, transaction_id: TransactionId, *, resend_ledger: int, text: str
    ) -> None:
        """Marks a transaction as sent, with what the node said and when to send it again."""
        await self._database.execute("note_answer", transaction_id, resend_ledger, text)

    async def replace_envelope(
        self, transaction_id: TransactionId, old: str, new: SignedEnvelope
    ) -> bool:
        """Keeps a higher bid of the same inner transaction; False when it was replaced already."""
        changed = await self._database.execute(
            "replace_envelope", transaction_id, old, new.xdr, new.hash, new.fee_bid
        )
        return changed == 1

    async def open(self) -> list[OpenTransaction]:
        """All transactions whose fate is not known, oldest first."""
        rows = await self._database.many("open_transactions")
        return [_open(list(group)) for _, group in groupby(rows, key=itemgetter("id"))]

    async def close(
        self,
        transaction_id: TransactionId,
        event: TransactionEvent,
        settlements: Sequence[Settlement],
        *,
        ledger: int | None = None,
        fee: int = 0,
        error: str = "",
    ) -> bool:
        """Closes a transaction and settles what it carried, at once.

        False when somebody else closed it before: then nothing changes.
        """
        async with self._database.transaction() as session:
            closed = await session.execute(
                "close_transaction",
                transaction_id,
                target(TRANSACTION_EDGES, event).value,
                ledger,
                fee,
                error,
                [state.value for state in sources(TRANSACTION_EDGES, event)],
            )
            if not closed:
                return False
            await settle(session, transaction_id, settlements)
        return True


def _require(condition: bool) -> None:
    if not condition:
        raise _LostError


def _open(rows: list[Record]) -> OpenTransaction:
    first = rows[0]
    return OpenTransaction(
        id=TransactionId(first["id"]),
        state=TransactionState(first["state"]),
        source=first["source"],
        sequence=first["sequence"],
        lookup_hash=first["lookup_hash"],
        envelope=first["envelope"],
        max_time=first["max_time"],
        fee_bid=first["fee_bid"],
        signed_ledger=first["signed_ledger"],
        resend_ledger=first["resend_ledger"],
        last_answer=first["last_answer"],
        operations=tuple(_carried(row) for row in rows),
    )


def _carried(row: Record) -> CarriedOperation:
    return CarriedOperation(
        id=OperationId(row["operation_id"]),
        kind=OperationKind(row["kind"]),
        wallet_id=WalletId(row["wallet_id"]),
        address=row["address"],
        block_index=row["block_index"],
        amount=row["amount"],
        attempts=row["attempts"],
    )
