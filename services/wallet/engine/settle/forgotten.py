"""Closings, by the chain's state, of transactions that a ledger took, with whichever result.

No node shows the result any more, or it is one of a newer network, which is not understood.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.log import get_logger
from services.wallet.chain import Chain, StaleAnswerError
from services.wallet.domain.forgotten import Trace, settled_by_state
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import (
    Closing,
    OpenTransaction,
    OperationEvent,
    TransactionEvent,
)
from services.wallet.domain.settling import share
from services.wallet.domain.trust import Decision
from services.wallet.engine.follower import Follower
from services.wallet.store.transactions import TransactionStore

log = get_logger(__name__)

#: Why a result is not known, unless something else is told.
_FORGOTTEN = "no node remembers its ledger"


class Forgotten:
    """The settling of transactions whose result is not known."""

    def __init__(self, chain: Chain, follower: Follower, transactions: TransactionStore) -> None:
        self._chain = chain
        self._follower = follower
        self._transactions = transactions

    async def closing(
        self, transaction: OpenTransaction, *, ledger: int, fee: int = 0, why: str = _FORGOTTEN
    ) -> Closing:
        """Return the closing of a transaction whose sequence number `ledger` used.

        Where the price (`fee`) is not known, the bid counts.
        """
        fee = fee if 0 < fee <= transaction.fee_bid else transaction.fee_bid
        head = (await self._follower.refresh()).head
        traces = await self._traces(transaction, ledger)
        count = len(transaction.operations)
        settlements = tuple(
            settled_by_state(
                operation,
                trace,
                head,
                ledger=ledger,
                fee=share(fee, count, position),
            )
            for position, (operation, trace) in enumerate(
                zip(transaction.operations, traces, strict=True)
            )
        )
        worked = any(item.event is OperationEvent.SUCCEED for item in settlements)
        log.warning("settled by the chain's state", transaction=str(transaction.id), worked=worked)
        return Closing(
            transaction_id=transaction.id,
            event=TransactionEvent.SUCCEED if worked else TransactionEvent.FAIL,
            settlements=settlements,
            ledger=ledger,
            fee=fee,
            error="" if worked else why,
        )

    @asynccontextmanager
    async def _nodes(self) -> AsyncIterator[Chain]:
        """Yield several nodes that agree, or the single node that there is, for all requests."""
        chain = self._chain
        if chain.configured > 1:
            yield chain.trusted(Decision.RECORD_FORGOTTEN)
            return
        async with chain.pinned() as node:
            yield node

    async def _traces(self, transaction: OpenTransaction, ledger: int) -> list[Trace]:
        """Return the traces in the order of the operations.

        They are read from one node, not before `ledger`.
        """
        farm = [item for item in transaction.operations if OPERATION_KINDS[item.kind].has_block]
        places = [(item.address, item.block_index) for item in farm]
        harvests = [item for item in farm if OPERATION_KINDS[item.kind].returns_stake]
        grown = await self._transactions.grown([item.id for item in harvests])
        async with self._nodes() as node:
            _check_seen((await node.head()).sequence, ledger)
            read, pails = await node.pails_at(places) if places else (ledger, {})
            _check_seen(read, ledger)
            indexes = {item.block_index for item in harvests}
            blocks = {index: await node.block(index) for index in indexes}
        return [
            Trace(
                pail=pails.get((item.address, item.block_index)),
                block=blocks.get(item.block_index),
                grown=grown.get(item.id),
            )
            for item in transaction.operations
        ]


def _check_seen(head: int, ledger: int) -> None:
    if head < ledger:
        raise StaleAnswerError(f"the node has not seen ledger {ledger} yet")
