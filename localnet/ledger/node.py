"""One node: the latest state, its history, its queue, and the closing of ledgers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from localnet.ledger.close import ClosedLedger, Closing, Genesis, close
from localnet.ledger.genesis import genesis_ledger
from localnet.ledger.history import History
from localnet.ledger.keys import is_persistent
from localnet.ledger.packing import build_set
from localnet.ledger.queue import Answer, Queue
from localnet.ledger.settings import NetworkSettings, read_settings
from localnet.ledger.state import Record, Snapshot
from localnet.ledger.transaction import Transaction, parse
from localnet.ledger.validation import Moment, validate_sent

#: Ledgers between two sweeps of temporary entries whose life is over.
_EVICTION_LEDGERS = 64


class Store(Protocol):
    """Where a node keeps its chain."""

    def load(self) -> tuple[Snapshot, list[ClosedLedger]] | None:
        """What was kept: the latest state and the history, oldest first; None when new."""

    def save(
        self, ledger: ClosedLedger, changes: Mapping[bytes, Record | None], oldest: int
    ) -> None:
        """Keep one more ledger, all of it or nothing; those below `oldest` may go."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A computed ledger with the transactions that it takes out of the queue."""

    #: The ledger.
    closing: Closing
    #: Transactions that are in it.
    included: tuple[Transaction, ...]
    #: Transactions that can no longer be in any ledger.
    invalid: tuple[Transaction, ...]


@dataclass(kw_only=True)
class Node:
    """A chain with one node."""

    #: What no ledger entry holds.
    genesis: Genesis
    #: The latest state.
    snapshot: Snapshot
    #: Closed ledgers.
    history: History
    #: Pending transactions.
    queue: Queue = field(default_factory=Queue)
    #: Where the chain is kept; None means only here.
    store: Store | None = None

    @property
    def settings(self) -> NetworkSettings:
        """The network's limits and fees."""
        return read_settings(self.snapshot)

    def submit(self, envelope: bytes) -> tuple[Transaction, Answer]:
        """Take an envelope; ValueError when it is not one."""
        tx = parse(envelope, self.genesis.network.id)
        return tx, self.submit_parsed(tx)

    def submit_parsed(self, tx: Transaction) -> Answer:
        """Take a transaction."""
        moment = Moment(
            sequence=self.snapshot.sequence + 1,
            close_time=self.snapshot.close_time,
            settings=self.settings,
        )
        return self.queue.add(tx, self.snapshot, moment)

    def prepare(self, candidates: Iterable[Transaction], close_time: int) -> Prepared:
        """Compute the next ledger; changes nothing, so it may run in a thread."""
        close_time = max(close_time, self.snapshot.close_time)
        moment = Moment(
            sequence=self.snapshot.sequence + 1, close_time=close_time, settings=self.settings
        )
        valid: list[Transaction] = []
        invalid: list[Transaction] = []
        for tx in candidates:
            verdict = validate_sent(tx, self.snapshot, moment, committed=0)
            (valid if verdict is None else invalid).append(tx)
        chosen = build_set(valid, moment.settings)
        closing = close(
            self.snapshot,
            self.history.latest,
            chosen,
            genesis=self.genesis,
            close_time=close_time,
        )
        return Prepared(
            closing=closing,
            included=chosen.classic + chosen.soroban,
            invalid=tuple(invalid),
        )

    def commit(self, prepared: Prepared) -> ClosedLedger:
        """Make a prepared ledger the latest one."""
        ledger, changes = prepared.closing.ledger, dict(prepared.closing.changes)
        if ledger.sequence != self.snapshot.sequence + 1:
            raise ValueError(f"ledger {ledger.sequence} does not follow {self.snapshot.sequence}")
        if ledger.sequence % _EVICTION_LEDGERS == 0:
            changes |= dict.fromkeys(self._expired(ledger.sequence))
        records = dict(self.snapshot.records)
        for key, record in changes.items():
            if record is None:
                records.pop(key, None)
            else:
                records[key] = record
        self.snapshot = Snapshot(
            sequence=ledger.sequence, close_time=ledger.close_time, records=records
        )
        self.history.add(ledger)
        self.queue.drop(prepared.invalid, ledger.sequence)
        self.queue.closed(prepared.included, ledger.sequence)
        if self.store is not None:
            self.store.save(ledger, changes, self.history.oldest.sequence)
        return ledger

    def close_ledger(self, close_time: int, *, skip_pending: bool = False) -> ClosedLedger:
        """Close the next ledger now."""
        candidates = [] if skip_pending else self.queue.transactions()
        return self.commit(self.prepare(candidates, close_time))

    def _expired(self, sequence: int) -> list[bytes]:
        return [
            key
            for key, record in self.snapshot.records.items()
            if record.live_until is not None
            and record.live_until < sequence
            and not is_persistent(key)
        ]


def open_node(
    genesis: Genesis,
    *,
    close_time: int,
    retention: int,
    overrides: Mapping[str, int] | None = None,
    store: Store | None = None,
) -> Node:
    """A node that goes on from its store, or starts with the first ledger."""
    history = History(retention)
    kept = store.load() if store is not None else None
    if kept is not None:
        snapshot, ledgers = kept
        for ledger in ledgers:
            history.add(ledger)
    else:
        snapshot, first = genesis_ledger(genesis, close_time, overrides or {})
        history.add(first)
        if store is not None:
            store.save(first, snapshot.records, first.sequence)
    return Node(genesis=genesis, snapshot=snapshot, history=history, store=store)
