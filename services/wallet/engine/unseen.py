"""Closes transactions that a ledger took and no node shows any more, by the chain's state."""

from libs.common.log import get_logger
from services.wallet.chain.errors import StaleAnswerError
from services.wallet.chain.facade import Chain
from services.wallet.domain.model import (
    FARM_KINDS,
    Closing,
    OpenTransaction,
    OperationEvent,
    OperationKind,
    TransactionEvent,
)
from services.wallet.domain.settling import share
from services.wallet.domain.unseen import Trace, is_unpaid, settled_by_state
from services.wallet.engine.parts import EngineParts

log = get_logger(__name__)


class Unseen:
    """What a node that forgot its history leaves to find out."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    async def closing(self, transaction: OpenTransaction, *, ledger: int) -> Closing:
        """Its end; `ledger` used the sequence number. The price is not known: the bid counts."""
        head = (await self._parts.follower.refresh()).head
        traces = await self._traces(transaction, ledger)
        count = len(transaction.operations)
        settlements = tuple(
            settled_by_state(
                operation,
                trace,
                head,
                ledger=ledger,
                fee=share(transaction.fee_bid, count, position),
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
            fee=transaction.fee_bid,
            error="" if worked else "no node remembers its ledger",
        )

    async def _is_unpaid(self, transaction: OpenTransaction, node: Chain, ledger: int) -> bool:
        """Whether its payments were not made, as far as that can be proven."""
        payouts = await self._parts.transactions.payouts(
            [item.id for item in transaction.operations if item.kind is OperationKind.WITHDRAW]
        )
        # What is paid to the account itself need not change it.
        holdings = [
            (item.address, payouts[item.id].asset)
            for item in transaction.operations
            if item.id in payouts and payouts[item.id].destination != item.address
        ]
        if not holdings:
            return False
        read, changes = await node.last_changes(holdings)
        # By the answer itself: behind one address there may be several nodes.
        _check_seen(read, ledger)
        return is_unpaid(changes.values(), signed_ledger=transaction.signed_ledger)

    async def _traces(self, transaction: OpenTransaction, ledger: int) -> list[Trace]:
        """In the order of the operations; read from one node, not before `ledger`."""
        farm = [item for item in transaction.operations if item.kind in FARM_KINDS]
        places = [(item.address, item.block_index) for item in farm]
        harvests = [item for item in farm if item.kind is OperationKind.HARVEST]
        grown = await self._parts.transactions.grown([item.id for item in harvests])
        async with self._parts.chain.pinned() as node:
            _check_seen((await node.head()).sequence, ledger)
            pails = await node.pails(places) if places else {}
            indexes = {item.block_index for item in harvests}
            blocks = {index: await node.block(index) for index in indexes}
            unpaid = await self._is_unpaid(transaction, node, ledger)
        return [
            Trace(
                pail=pails.get((item.address, item.block_index)),
                block=blocks.get(item.block_index),
                grown=grown.get(item.id),
                is_unpaid=unpaid and item.kind is OperationKind.WITHDRAW,
            )
            for item in transaction.operations
        ]


def _check_seen(head: int, ledger: int) -> None:
    if head < ledger:
        raise StaleAnswerError(f"the node has not seen ledger {ledger} yet")
