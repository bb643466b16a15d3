"""The chain on disk: one SQLite file, one database transaction per ledger."""

import json
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from localnet.ledger.apply import Applied
from localnet.ledger.close import ClosedLedger
from localnet.ledger.state import Record, Snapshot

_FILE = "chain.sqlite3"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS entries (
    key BLOB PRIMARY KEY,
    packed BLOB NOT NULL,
    live_until INTEGER,
    ttl_modified INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledgers (
    sequence INTEGER PRIMARY KEY,
    close_time INTEGER NOT NULL,
    hash BLOB NOT NULL,
    header BLOB NOT NULL,
    tx_set BLOB NOT NULL,
    fee_pool INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS transactions (
    sequence INTEGER NOT NULL REFERENCES ledgers (sequence) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    inner_hash BLOB,
    envelope BLOB NOT NULL,
    result BLOB NOT NULL,
    meta BLOB NOT NULL,
    ok INTEGER NOT NULL,
    soroban INTEGER NOT NULL,
    inclusion_fee INTEGER NOT NULL,
    outputs TEXT NOT NULL,
    fee_changes BLOB NOT NULL,
    refund_changes BLOB NOT NULL,
    PRIMARY KEY (sequence, position)
) WITHOUT ROWID;
"""


class StoreMismatchError(Exception):
    """An error: the folder holds the chain of another network."""


def _texts(items: Iterable[bytes]) -> list[str]:
    return [b64encode(i).decode() for i in items]


def _blobs(items: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(b64decode(i) for i in items)


class SqliteStore:
    """A chain in one folder; only one process may use the folder."""

    def __init__(self, folder: Path, *, identity: Mapping[str, str]) -> None:
        """Open or create the file; StoreMismatchError when the file is another network's."""
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / _FILE, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)
        self._check(identity)

    def _check(self, identity: Mapping[str, str]) -> None:
        """Check that the folder belongs to this network.

        Two networks (or two block lengths) must not share a folder.
        """
        known = dict(self._db.execute("SELECT name, value FROM identity"))
        if known and known != dict(identity):
            self.close()
            raise StoreMismatchError(f"the folder holds {known}, not {dict(identity)}")
        self._db.executemany("INSERT OR IGNORE INTO identity VALUES (?, ?)", identity.items())

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def load(self) -> tuple[Snapshot, list[ClosedLedger]] | None:
        """Return the latest state and the history, oldest first; None when the file is new."""
        ledgers = self._load_ledgers()
        if not ledgers:
            return None
        rows = self._db.execute("SELECT key, packed, live_until, ttl_modified FROM entries")
        records = {
            key: Record(packed=packed, live_until=live_until, ttl_modified=modified)
            for key, packed, live_until, modified in rows
        }
        latest = ledgers[-1]
        snapshot = Snapshot(sequence=latest.sequence, close_time=latest.close_time, records=records)
        return snapshot, ledgers

    def _load_ledgers(self) -> list[ClosedLedger]:
        transactions: dict[int, list[Applied]] = {}
        for sequence, applied in self._load_transactions():
            transactions.setdefault(sequence, []).append(applied)
        rows = self._db.execute(
            "SELECT sequence, close_time, hash, header, tx_set, fee_pool"
            " FROM ledgers ORDER BY sequence"
        )
        return [
            ClosedLedger(
                sequence=sequence,
                close_time=close_time,
                hash=ledger_hash,
                header=header,
                tx_set=tx_set,
                transactions=tuple(transactions.get(sequence, ())),
                fee_pool=fee_pool,
            )
            for sequence, close_time, ledger_hash, header, tx_set, fee_pool in rows
        ]

    def _load_transactions(self) -> Iterable[tuple[int, Applied]]:
        with closing(self._db.cursor()) as cursor:
            cursor.row_factory = sqlite3.Row
            for row in cursor.execute("SELECT * FROM transactions ORDER BY sequence, position"):
                outputs = json.loads(row["outputs"])
                yield (
                    row["sequence"],
                    Applied(
                        hash=row["hash"],
                        inner_hash=row["inner_hash"],
                        envelope=row["envelope"],
                        result=row["result"],
                        meta=row["meta"],
                        ok=bool(row["ok"]),
                        soroban=bool(row["soroban"]),
                        inclusion_fee=row["inclusion_fee"],
                        events=_blobs(outputs["events"]),
                        contract_events=tuple(_blobs(o) for o in outputs["contract_events"]),
                        diagnostics=_blobs(outputs["diagnostics"]),
                        fee_changes=row["fee_changes"],
                        refund_changes=row["refund_changes"],
                    ),
                )

    def save(
        self, ledger: ClosedLedger, changes: Mapping[bytes, Record | None], oldest: int
    ) -> None:
        """Keep one more ledger, all of it or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._save_entries(changes)
            self._save_ledger(ledger)
            self._db.execute("DELETE FROM ledgers WHERE sequence < ?", (oldest,))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _save_entries(self, changes: Mapping[bytes, Record | None]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)",
            (
                (key, r.packed, r.live_until, r.ttl_modified)
                for key, r in changes.items()
                if r is not None
            ),
        )
        removed = ((key,) for key, record in changes.items() if record is None)
        self._db.executemany("DELETE FROM entries WHERE key = ?", removed)

    def _save_ledger(self, ledger: ClosedLedger) -> None:
        self._db.execute(
            "INSERT INTO ledgers VALUES (?, ?, ?, ?, ?, ?)",
            (
                ledger.sequence,
                ledger.close_time,
                ledger.hash,
                ledger.header,
                ledger.tx_set,
                ledger.fee_pool,
            ),
        )
        self._db.executemany(
            "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                _transaction_row(ledger.sequence, position, t)
                for position, t in enumerate(ledger.transactions, start=1)
            ),
        )


def _transaction_row(sequence: int, position: int, t: Applied) -> tuple[object, ...]:
    outputs = {
        "events": _texts(t.events),
        "contract_events": [_texts(o) for o in t.contract_events],
        "diagnostics": _texts(t.diagnostics),
    }
    return (
        sequence,
        position,
        t.hash,
        t.inner_hash,
        t.envelope,
        t.result,
        t.meta,
        t.ok,
        t.soroban,
        t.inclusion_fee,
        json.dumps(outputs),
        t.fee_changes,
        t.refund_changes,
    )
