"""Transactions in flight that wallet did not write: none is sent, and no bid is raised for one.

Whoever may write rows could else have the treasury pay a fee bump around any transaction.
"""

from collections.abc import Sequence

from libs.common.log import get_security_logger
from libs.common.metrics import METER
from libs.common.once import Once
from services.wallet.chain import Chain
from services.wallet.domain.model import OpenTransaction, TransactionId
from services.wallet.store.transactions import TransactionStore

security = get_security_logger()

_found = METER.create_counter(
    "kalepool.wallet.forged_transactions",
    description="Transactions in flight that wallet did not write.",
)


class ForgedTransactions:
    """The judge of transactions that are to be sent again."""

    def __init__(self, chain: Chain, transactions: TransactionStore) -> None:
        self._chain = chain
        self._transactions = transactions
        #: Those that were told of already.
        self._told = Once[TransactionId]()

    def bid_of(self, transaction: OpenTransaction) -> int | None:
        """Return the stroops that its envelope bids; None when it must not be sent.

        The row has to be as wallet wrote it, and the envelope has to hold the row's transaction.
        """
        if self._transactions.is_genuine(transaction):
            bid = self._chain.bid_in(transaction.envelope, inner_hash=transaction.lookup_hash)
            if bid is not None:
                return bid
        self._tell(transaction)
        return None

    def among(self, transactions: Sequence[OpenTransaction]) -> set[TransactionId]:
        """Return those that wallet did not write: what they carried did not end by its word."""
        forged = [item for item in transactions if not self._transactions.is_genuine(item)]
        for item in forged:
            self._tell(item)
        return {item.id for item in forged}

    def _tell(self, transaction: OpenTransaction) -> None:
        """Tell of a forged transaction, once."""
        if not self._told.is_first(transaction.id):
            return
        _found.add(1)
        security.critical(
            "transaction not written by wallet",
            transaction=str(transaction.id),
            source=transaction.source,
            sequence=transaction.sequence,
        )
