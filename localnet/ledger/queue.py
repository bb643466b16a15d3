"""The pending transactions of one node, and the answers to sendTransaction.

The order of the checks is that of stellar-core: first a ban, then another pending transaction of
the same account, then the space in the queue, and last the validity of the transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from localnet.ledger.packing import better_fee, bid, total_limit
from localnet.ledger.results import TxCode, TxOutcome
from localnet.ledger.settings import MAX_TX_SET_SIZE, Usage
from localnet.ledger.state import Readable
from localnet.ledger.transaction import Transaction
from localnet.ledger.validation import (
    Moment,
    Verdict,
    exceeds_ledger,
    malformed,
    minimum_fee,
    validate_sent,
)

#: Capacity of the queue as a multiple of one ledger's limits.
QUEUE_LEDGERS = 2
#: Ledgers after which a pending transaction is dropped.
MAX_AGE = 4
#: Ledgers for which a dropped or outbid envelope is refused.
BAN_LEDGERS = 10
#: Ledgers for which an envelope that got into a ledger is answered TRY_AGAIN_LATER (measured).
APPLIED_BAN_LEDGERS = 8
#: A replacement must offer this many times the old inclusion fee per operation.
REPLACE_FACTOR = 10


class Status(StrEnum):
    """Statuses that sendTransaction answers."""

    PENDING = "PENDING"
    DUPLICATE = "DUPLICATE"
    TRY_AGAIN_LATER = "TRY_AGAIN_LATER"
    ERROR = "ERROR"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a transaction that is sent."""

    #: The status.
    status: Status
    #: The reason, when the status is ERROR.
    verdict: Verdict | None = None


@dataclass(kw_only=True)
class _Pending:
    #: The transaction.
    tx: Transaction
    #: Number of ledgers that closed without the transaction.
    age: int = 0


def _error(tx: Transaction, code: TxCode, fee: int) -> Answer:
    verdict = Verdict(outcome=TxOutcome(code=code), outer=tx.fee_bump, fee=fee)
    return Answer(status=Status.ERROR, verdict=verdict)


def _usage(tx: Transaction) -> Usage:
    """Return the part of the queue's capacity that a transaction takes."""
    return tx.soroban.usage if tx.soroban else Usage(count=tx.fee_operations)


@dataclass(kw_only=True)
class Queue:
    """Pending transactions: at most one per source account."""

    #: Pending transactions by source account.
    _pending: dict[bytes, _Pending] = field(default_factory=dict)
    #: Capacity taken by Soroban (True) and by classic (False) transactions.
    _used: dict[bool, Usage] = field(default_factory=lambda: {True: Usage(), False: Usage()})
    #: Last ledger for which an envelope is refused, by the envelope's hash.
    _banned: dict[bytes, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._pending)

    def transactions(self) -> list[Transaction]:
        """Return all pending transactions, oldest first."""
        return [p.tx for p in self._pending.values()]

    def add(self, tx: Transaction, state: Readable, moment: Moment) -> Answer:
        """Take a transaction, or answer why not; `moment` is the next ledger."""
        code = malformed(tx)
        if code is not None:
            return Answer(status=Status.ERROR, verdict=Verdict(outcome=TxOutcome(code=code)))
        if self._banned.get(tx.hash, 0) >= moment.sequence:
            return Answer(status=Status.TRY_AGAIN_LATER)
        current = self._pending.get(tx.source)
        replaced = None if current is None else current.tx
        answer = None if replaced is None else _beside(tx, replaced)
        if answer is not None:
            return answer
        if tx.soroban is not None and exceeds_ledger(tx.soroban.usage, moment.settings):
            return Answer(status=Status.TRY_AGAIN_LATER)
        return self._judge(tx, replaced, state, moment)

    def _judge(
        self, tx: Transaction, replaced: Transaction | None, state: Readable, moment: Moment
    ) -> Answer:
        """Check the space in the queue first, then the validity of the transaction.

        Only a valid transaction evicts others.
        """
        evicted, outbid = self._make_room(tx, replaced, moment)
        if outbid is not None:
            self._ban([tx], moment.sequence, BAN_LEDGERS)
            return _error(tx, TxCode.txINSUFFICIENT_FEE, better_fee(tx, outbid))
        committed = self._committed(tx.fee_source, replaced)
        verdict = validate_sent(tx, state, moment, committed=committed)
        if verdict is not None:
            return Answer(status=Status.ERROR, verdict=verdict)
        self._drop(evicted, moment.sequence)
        self._remove(tx.source)
        self._pending[tx.source] = _Pending(tx=tx)
        self._used[tx.is_soroban] += _usage(tx)
        return Answer(status=Status.PENDING)

    def closed(self, applied: Iterable[Transaction], sequence: int) -> None:
        """Note that ledger `sequence` closed with these transactions.

        These transactions leave the queue. The age of the others grows by one.
        """
        for tx in applied:
            self._banned[tx.hash] = sequence + APPLIED_BAN_LEDGERS
            pending = self._pending.get(tx.source)
            if pending is not None and pending.tx.sequence <= tx.sequence:
                self._remove(tx.source)
        for pending in self._pending.values():
            pending.age += 1
        old = [p.tx for p in self._pending.values() if p.age >= MAX_AGE]
        self._drop(old, sequence + 1)
        self._banned = {h: last for h, last in self._banned.items() if last > sequence}

    def drop(self, transactions: Iterable[Transaction], sequence: int) -> None:
        """Remove and ban transactions that turned out to be invalid for ledger `sequence`."""
        self._drop(transactions, sequence)

    def _drop(self, transactions: Iterable[Transaction], sequence: int) -> None:
        dropped = list(transactions)
        self._ban(dropped, sequence, BAN_LEDGERS)
        for tx in dropped:
            pending = self._pending.get(tx.source)
            if pending is not None and pending.tx is tx:
                self._remove(tx.source)

    def _remove(self, source: bytes) -> None:
        pending = self._pending.pop(source, None)
        if pending is not None:
            self._used[pending.tx.is_soroban] -= _usage(pending.tx)

    def _ban(self, transactions: Iterable[Transaction], sequence: int, ledgers: int) -> None:
        for tx in transactions:
            self._banned[tx.hash] = sequence + ledgers - 1

    def _committed(self, payer: bytes, replaced: Transaction | None) -> int:
        return sum(
            p.tx.fee
            for p in self._pending.values()
            if p.tx.fee_source == payer and p.tx is not replaced
        )

    def _make_room(
        self, tx: Transaction, replaced: Transaction | None, moment: Moment
    ) -> tuple[list[Transaction], Transaction | None]:
        """Find the transactions to evict so that `tx` fits the queue.

        Returns (transactions to evict, None). Returns ([], the transaction to outbid) when the
        queue stays full.
        """
        limit = (
            total_limit(moment.settings) if tx.is_soroban else Usage(count=MAX_TX_SET_SIZE)
        ) * QUEUE_LEDGERS
        used = self._used[tx.is_soroban] + _usage(tx)
        if replaced is not None and replaced.is_soroban == tx.is_soroban:
            used -= _usage(replaced)
        if used.fits(limit):
            return [], None
        others = [t for t in self.transactions() if t.is_soroban == tx.is_soroban]
        evicted: list[Transaction] = []
        for other in sorted((t for t in others if t is not replaced), key=bid):
            if bid(other) >= bid(tx):
                return [], other
            evicted.append(other)
            used -= _usage(other)
            if used.fits(limit):
                break
        return evicted, None


def _beside(tx: Transaction, current: Transaction) -> Answer | None:
    """Return the answer that another pending transaction of the same source causes, or None."""
    if tx.hash in (current.hash, current.inner.hash):
        return Answer(status=Status.DUPLICATE)
    if tx.sequence < current.sequence:
        return _error(tx, TxCode.txBAD_SEQ, minimum_fee(tx))
    if not tx.fee_bump or tx.sequence != current.sequence:
        return Answer(status=Status.TRY_AGAIN_LATER)
    # Stroops of inclusion fee that make ten times the pending bid per operation, rounded up.
    needed = -(
        -current.inclusion_fee * REPLACE_FACTOR * tx.fee_operations // current.fee_operations
    )
    if tx.inclusion_fee < needed:
        return _error(tx, TxCode.txINSUFFICIENT_FEE, tx.resource_fee + needed)
    return None
