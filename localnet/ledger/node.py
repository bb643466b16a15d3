"""One node: the latest state, the history, the queue, and the closing of ledgers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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

#: Number of ledgers from one removal of expired temporary entries to the next.
_EVICTION_LEDGERS = 64


class Store(Protocol):
    """The storage in which a node keeps its chain."""

    def load(self) -> tuple[Snapshot, list[ClosedLedger]] | None:
        """Return the latest state and the history, oldest first; None when the storage is new."""

    def save(
        self, ledger: ClosedLedger, changes: Mapping[bytes, Record | None], oldest: int
    ) -> None:
        """Keep one more ledger, all of it or nothing; ledgers below `oldest` may be dropped."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A computed ledger with the transactions that leave the queue because of it."""

    #: The state from which the ledger was computed.
    base: Snapshot
    #: The ledger.
    closing: Closing
    #: Transactions that are in the ledger.
    included: tuple[Transaction, ...]
    #: Transactions that can no longer be in any ledger.
    invalid: tuple[Transaction, ...]


@dataclass(kw_only=True)
class Node:
    """A chain with one node."""

    #: The rules that no ledger entry holds.
    genesis: Genesis
    #: The latest state.
    snapshot: Snapshot
    #: Closed ledgers.
    history: History
    #: Pending transactions.
    queue: Queue = field(default_factory=Queue)
    #: The storage of the chain; None means that the chain is only in memory.
    store: Store | None = None
    #: Last ledger of each entry whose lifetime was set by hand since the last ledger, by key.
    _lives: dict[bytes, int] = field(default_factory=dict)

    @property
    def settings(self) -> NetworkSettings:
        """The network's limits and fees."""
        return read_settings(self.snapshot)

    def submit(self, envelope: bytes) -> tuple[Transaction, Answer]:
        """Take an envelope into the queue; ValueError when the bytes are no envelope."""
        tx = parse(envelope, self.genesis.network.id)
        return tx, self.submit_parsed(tx)

    def submit_parsed(self, tx: Transaction) -> Answer:
        """Take a parsed transaction into the queue."""
        moment = Moment(
            sequence=self.snapshot.sequence + 1,
            close_time=self.snapshot.close_time,
            settings=self.settings,
        )
        return self.queue.add(tx, self.snapshot, moment)

    def prepare(self, candidates: Iterable[Transaction], close_time: int) -> Prepared:
        """Compute the next ledger; nothing changes, so that this may run in a thread."""
        base = self.snapshot
        close_time = max(close_time, base.close_time)
        moment = Moment(
            sequence=base.sequence + 1, close_time=close_time, settings=read_settings(base)
        )
        valid: list[Transaction] = []
        invalid: list[Transaction] = []
        for tx in candidates:
            verdict = validate_sent(tx, base, moment, committed=0)
            (valid if verdict is None else invalid).append(tx)
        chosen = build_set(valid, moment.settings)
        closing = close(
            base,
            self.history.latest,
            chosen,
            genesis=self.genesis,
            close_time=close_time,
        )
        return Prepared(
            base=base,
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
        changes |= self._lives_set(changes, is_newer=prepared.base is not self.snapshot)
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

    def fork(self) -> "Node":
        """Return a node with the same past and ledgers of its own from now on.

        The new node has no storage.
        """
        history = self.history.copy()
        return Node(genesis=self.genesis, snapshot=self.snapshot, history=history)

    def set_lives(self, lives: Mapping[bytes, int]) -> None:
        """Let each entry live for the given number of ledgers from now on.

        On other networks only the passing of time has this effect.
        """
        records = dict(self.snapshot.records)
        for key, remaining in lives.items():
            self._lives[key] = self.snapshot.sequence + remaining
            records[key] = replace(records[key], live_until=self._lives[key])
        self.snapshot = replace(self.snapshot, records=records)

    def _lives_set(
        self, changes: Mapping[bytes, Record | None], *, is_newer: bool
    ) -> dict[bytes, Record | None]:
        """Return the entries with the lifetimes that `set_lives` set, for the next ledger.

        When the next ledger changes an entry, the entry keeps the lifetime that the ledger gave it,
        unless the ledger was computed before `set_lives` was called (`is_newer`).
        """
        kept: dict[bytes, Record | None] = {}
        for key, live_until in self._lives.items():
            record = changes.get(key, self.snapshot.records.get(key))
            if record is not None and (is_newer or key not in changes):
                kept[key] = replace(record, live_until=live_until)
        self._lives.clear()
        return kept

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
    """Open a node that goes on from its storage, or starts with the first ledger."""
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
