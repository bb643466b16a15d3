"""Ledger entries with their lifetimes, and nested sets of changes to them.

Every record keeps its packed XDR beside the object, because packing is the slow part in Python.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from stellar_sdk import xdr

from localnet.ledger.keys import is_soroban


@dataclass(frozen=True, kw_only=True)
class Record:
    """One ledger entry in its stored form."""

    #: The LedgerEntry in XDR.
    packed: bytes
    #: Last ledger in which a contract entry exists; None for other entries.
    live_until: int | None = None
    #: Ledger that last set `live_until`.
    ttl_modified: int = 0

    @cached_property
    def entry(self) -> xdr.LedgerEntry:
        """The entry as an object; callers must not change the object."""
        return xdr.LedgerEntry.from_xdr_bytes(self.packed)

    @property
    def last_modified(self) -> int:
        """Ledger that last wrote the entry: the first word of its XDR."""
        return int.from_bytes(self.packed[:4], "big")

    @property
    def sponsor(self) -> bytes | None:
        """Raw key of the account that pays the entry's reserve, if not its owner."""
        sponsored = self.entry.ext.v1.sponsoring_id if self.entry.ext.v1 else None
        if sponsored is None or sponsored.sponsorship_descriptor is None:
            return None
        key = sponsored.sponsorship_descriptor.account_id.ed25519
        return None if key is None else key.uint256


def make_record(
    entry: xdr.LedgerEntry,
    *,
    sequence: int,
    live_until: int | None = None,
    ttl_modified: int = 0,
) -> Record:
    """Make a record of `entry` as written by ledger `sequence`."""
    body = entry.to_xdr_bytes()[4:]
    return Record(
        packed=sequence.to_bytes(4, "big") + body,
        live_until=live_until,
        ttl_modified=ttl_modified,
    )


class Readable(Protocol):
    """Anything from which entries can be read by their key."""

    def get(self, key: bytes) -> Record | None:
        """Return the live entry under a LedgerKey in XDR, or None."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All entries as one ledger left them; a snapshot never changes."""

    #: Sequence of the ledger.
    sequence: int
    #: Close time of the ledger in seconds since 1970.
    close_time: int
    #: Entries by packed key; expired entries are included until they are evicted.
    records: Mapping[bytes, Record]

    def get(self, key: bytes) -> Record | None:
        """Return the entry, or None when its life is over."""
        return self.get_at(key, self.sequence)

    def get_at(self, key: bytes, sequence: int) -> Record | None:
        """Return the entry as of ledger `sequence`, or None when its life is over by then."""
        record = self.records.get(key)
        if record is None or (record.live_until is not None and record.live_until < sequence):
            return None
        return record


@dataclass(frozen=True, kw_only=True)
class SnapshotAt:
    """A snapshot as of a later ledger: some lifetimes end in between."""

    #: The snapshot that holds the entries.
    snapshot: Snapshot
    #: Sequence of the later ledger.
    sequence: int

    def get(self, key: bytes) -> Record | None:
        """Return the entry, or None when its life is over."""
        return self.snapshot.get_at(key, self.sequence)


@dataclass(frozen=True, kw_only=True)
class Change:
    """The change of one entry."""

    #: Key of the entry in XDR.
    key: bytes
    #: The entry before, or None.
    before: Record | None
    #: The entry after, or None when it was removed.
    after: Record | None


class Changes:
    """Changes on top of a readable base; `commit_to` hands them to the parent set of changes."""

    def __init__(self, base: Readable, sequence: int) -> None:
        self.base = base
        self.sequence = sequence
        self._touched: dict[bytes, Record | None] = {}

    def get(self, key: bytes) -> Record | None:
        """Return the entry as these changes leave it."""
        if key in self._touched:
            return self._touched[key]
        return self.base.get(key)

    def put(self, key: bytes, entry: xdr.LedgerEntry, live_until: int | None = None) -> Record:
        """Write an entry; its lastModified becomes this ledger."""
        before = self.get(key)
        kept = before is not None and before.live_until == live_until
        record = make_record(
            entry,
            sequence=self.sequence,
            live_until=live_until,
            ttl_modified=before.ttl_modified if kept and before is not None else self.sequence,
        )
        self._touched[key] = record
        return record

    def touch(self, key: bytes) -> None:
        """Write an entry without changes to its data; only its lastModified changes."""
        record = self.get(key)
        if record is not None:
            self._touched[key] = Record(
                packed=self.sequence.to_bytes(4, "big") + record.packed[4:],
                live_until=record.live_until,
                ttl_modified=record.ttl_modified,
            )

    def extend(self, key: bytes, live_until: int) -> None:
        """Change an entry's lifetime and nothing else."""
        record = self.get(key)
        if record is None or not is_soroban(key):
            raise KeyError(key.hex())
        self._touched[key] = Record(
            packed=record.packed, live_until=live_until, ttl_modified=self.sequence
        )

    def erase(self, key: bytes) -> None:
        """Remove an entry."""
        self._touched[key] = None

    def __iter__(self) -> Iterator[Change]:
        """Yield every change, in the order in which the entries were first touched."""
        for key, after in self._touched.items():
            before = self.base.get(key)
            if before is not after:
                yield Change(key=key, before=before, after=after)

    def commit_to(self, parent: "Changes") -> None:
        """Add these changes to the set of changes that is their base."""
        parent._touched.update(self._touched)

    def applied(self) -> dict[bytes, Record | None]:
        """Return the changes as key -> entry (None: removed), for the owner of the base."""
        return dict(self._touched)
