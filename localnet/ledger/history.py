"""Closed ledgers that clients can still ask for."""

from collections.abc import Iterator
from dataclasses import dataclass

from localnet.ledger.apply import Applied
from localnet.ledger.close import ClosedLedger


@dataclass(frozen=True, kw_only=True)
class Found:
    """A transaction and its place in the history."""

    #: The ledger that holds the transaction.
    ledger: ClosedLedger
    #: Place of the transaction in the ledger, from 1.
    order: int
    #: The transaction.
    transaction: Applied


class History:
    """The last ledgers, by sequence, and their transactions, by hash."""

    def __init__(self, retention: int) -> None:
        self._retention = retention
        self._ledgers: dict[int, ClosedLedger] = {}
        self._by_hash: dict[bytes, tuple[int, int]] = {}

    @property
    def latest(self) -> ClosedLedger:
        """The newest ledger."""
        return self._ledgers[max(self._bounds())]

    @property
    def oldest(self) -> ClosedLedger:
        """The oldest ledger that is kept."""
        return self._ledgers[min(self._bounds())]

    def _bounds(self) -> tuple[int, int]:
        """Return the first and the last key.

        A dict keeps the order in which ledgers were added.
        """
        return next(iter(self._ledgers)), next(reversed(self._ledgers))

    def add(self, ledger: ClosedLedger) -> None:
        """Add the next ledger; drop the oldest one when the history is full."""
        self._ledgers[ledger.sequence] = ledger
        for order, transaction in enumerate(ledger.transactions, start=1):
            self._by_hash[transaction.hash] = (ledger.sequence, order)
            if transaction.inner_hash is not None:
                self._by_hash[transaction.inner_hash] = (ledger.sequence, order)
        while len(self._ledgers) > self._retention:
            self._forget(self.oldest)

    def copy(self) -> "History":
        """Return a copy of the history, which can go on differently."""
        other = History(self._retention)
        other._ledgers, other._by_hash = dict(self._ledgers), dict(self._by_hash)
        return other

    def forget_before(self, sequence: int) -> None:
        """Drop every ledger below `sequence`, but never the newest."""
        while self.oldest.sequence < min(sequence, self.latest.sequence):
            self._forget(self.oldest)

    def _forget(self, ledger: ClosedLedger) -> None:
        del self._ledgers[ledger.sequence]
        for transaction in ledger.transactions:
            for known in (transaction.hash, transaction.inner_hash):
                if known is not None and self._by_hash.get(known, (0, 0))[0] == ledger.sequence:
                    del self._by_hash[known]

    def get(self, sequence: int) -> ClosedLedger | None:
        """Return the ledger with this sequence, or None when it is not kept."""
        return self._ledgers.get(sequence)

    def range(self, first: int, last: int) -> Iterator[ClosedLedger]:
        """Yield the kept ledgers from `first` to `last`, both included."""
        for sequence in range(max(first, self.oldest.sequence), last + 1):
            ledger = self._ledgers.get(sequence)
            if ledger is not None:
                yield ledger

    def find(self, tx_hash: bytes) -> Found | None:
        """Find a transaction by its hash, or by the inner hash of a fee bump."""
        place = self._by_hash.get(tx_hash)
        if place is None:
            return None
        ledger = self._ledgers[place[0]]
        transaction = ledger.transactions[place[1] - 1]
        return Found(ledger=ledger, order=place[1], transaction=transaction)
