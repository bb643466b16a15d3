"""TransactionMeta v4 and its parts, packed by joining the packed bytes of the parts."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk.xdr import LedgerEntryChangeType, LedgerEntryType, TransactionEventStage

from localnet.ledger.keys import ttl_key
from localnet.ledger.state import Change, Record

_VOID_EXT = bytes(4)
_META_VERSION = struct.pack(">i", 4)


def array(items: Sequence[bytes]) -> bytes:
    """Pack an XDR array of variable length."""
    return struct.pack(">I", len(items)) + b"".join(items)


def _change(kind: LedgerEntryChangeType, packed: bytes) -> bytes:
    return struct.pack(">i", kind) + packed


def _ttl_entry(key: bytes, live_until: int, modified: int) -> bytes:
    """Pack a LedgerEntry of type TTL."""
    body = sha256(key).digest() + struct.pack(">I", live_until)
    return struct.pack(">Ii", modified, LedgerEntryType.TTL) + body + _VOID_EXT


def _ttl_changes(change: Change) -> list[bytes]:
    """Return the changes of the TTL entry that belongs to a contract entry."""

    def entry(record: Record) -> bytes:
        return _ttl_entry(change.key, record.live_until or 0, record.ttl_modified)

    before, after = change.before, change.after
    if before is None and after is not None and after.live_until is not None:
        return [_change(LedgerEntryChangeType.LEDGER_ENTRY_CREATED, entry(after))]
    if before is None or before.live_until is None:
        return []
    if after is not None and after.live_until == before.live_until:
        return []
    state = _change(LedgerEntryChangeType.LEDGER_ENTRY_STATE, entry(before))
    if after is None:
        removed = ttl_key(change.key)
        return [state, _change(LedgerEntryChangeType.LEDGER_ENTRY_REMOVED, removed)]
    return [state, _change(LedgerEntryChangeType.LEDGER_ENTRY_UPDATED, entry(after))]


def _entry_changes(change: Change) -> list[bytes]:
    before, after = change.before, change.after
    if before is None:
        created = b"" if after is None else after.packed
        return [_change(LedgerEntryChangeType.LEDGER_ENTRY_CREATED, created)] if after else []
    if after is not None and after.packed == before.packed:
        return []
    state = _change(LedgerEntryChangeType.LEDGER_ENTRY_STATE, before.packed)
    if after is None:
        return [state, _change(LedgerEntryChangeType.LEDGER_ENTRY_REMOVED, change.key)]
    return [state, _change(LedgerEntryChangeType.LEDGER_ENTRY_UPDATED, after.packed)]


def entry_changes(changes: Iterable[Change]) -> bytes:
    """Pack LedgerEntryChanges; the change of a lifetime comes before the change of its entry."""
    packed: list[bytes] = []
    for change in changes:
        packed += _ttl_changes(change)
        packed += _entry_changes(change)
    return array(packed)


def state_and_updated(pairs: Iterable[tuple[Record, Record]]) -> bytes:
    """Pack LedgerEntryChanges that show each entry before and after, also when nothing changed."""
    packed: list[bytes] = []
    for before, after in pairs:
        packed.append(_change(LedgerEntryChangeType.LEDGER_ENTRY_STATE, before.packed))
        packed.append(_change(LedgerEntryChangeType.LEDGER_ENTRY_UPDATED, after.packed))
    return array(packed)


@dataclass(frozen=True, kw_only=True)
class OperationMeta:
    """The effects of one operation."""

    #: LedgerEntryChanges in XDR.
    changes: bytes
    #: ContractEvents in XDR.
    events: tuple[bytes, ...] = ()

    def packed(self) -> bytes:
        """Return the OperationMetaV2 in XDR."""
        return _VOID_EXT + self.changes + array(self.events)


@dataclass(frozen=True, kw_only=True)
class SorobanMeta:
    """The charges and the return value of a Soroban transaction."""

    #: Stroops for the declared resources.
    non_refundable: int
    #: Stroops for events and rent.
    refundable: int
    #: Stroops of rent, a part of `refundable`.
    rent: int
    #: The return value in XDR; None when the transaction failed.
    return_value: bytes | None

    def packed(self) -> bytes:
        """Return the SorobanTransactionMetaV2 in XDR."""
        ext = struct.pack(">iiqqq", 1, 0, self.non_refundable, self.refundable, self.rent)
        if self.return_value is None:
            return ext + struct.pack(">i", 0)
        return ext + struct.pack(">i", 1) + self.return_value


def transaction_event(stage: TransactionEventStage, event: bytes) -> bytes:
    """Pack a TransactionEvent."""
    return struct.pack(">i", stage) + event


def transaction_meta(
    *,
    before: bytes,
    operations: Sequence[OperationMeta],
    soroban: SorobanMeta | None,
    events: Sequence[bytes],
    diagnostics: Sequence[bytes],
) -> bytes:
    """Pack a TransactionMeta v4; refunds are no part of the meta since protocol 23."""
    return (
        _META_VERSION
        + _VOID_EXT
        + before
        + array([o.packed() for o in operations])
        + array([])
        + (struct.pack(">i", 0) if soroban is None else struct.pack(">i", 1) + soroban.packed())
        + array(events)
        + array(diagnostics)
    )
