"""The inputs and the outputs of an invocation."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from stellar_sdk import xdr

AuthMode = Literal["record", "record_allow_nonroot", "enforce"]


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """Network settings that the host needs; the defaults were measured on mainnet."""

    #: Minimum lifetime of a new temporary entry in ledgers.
    min_temporary_ttl: int = 17_280
    #: Minimum lifetime of a new persistent entry in ledgers.
    min_persistent_ttl: int = 2_073_600
    #: Maximum lifetime of an entry in ledgers.
    max_entry_ttl: int = 3_110_400
    #: Seconds of a KALE block (300 on the real network).
    block_seconds: int = 300
    #: Maximum instructions of a transaction.
    tx_max_instructions: int = 400_000_000
    #: Maximum bytes of memory of a transaction.
    tx_memory_limit: int = 41_943_040


@dataclass(frozen=True, kw_only=True)
class LedgerInfo:
    """The ledger in which an invocation runs."""

    #: Sequence of the ledger.
    sequence: int
    #: Close time of the ledger in unix seconds.
    close_time: int
    #: SHA-256 of the network's passphrase.
    network_id: bytes
    #: The network's settings.
    settings: HostSettings = field(default_factory=HostSettings)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A ledger entry and its lifetime."""

    #: The entry.
    entry: xdr.LedgerEntry
    #: Last ledger in which the entry exists; None for classic entries.
    live_until: int | None


class LedgerView(Protocol):
    """The state before an invocation.

    The view may return expired entries, because the host checks lifetimes.
    """

    def get(self, key: bytes) -> Entry | None:
        """Return the entry with this LedgerKey (XDR), or None."""
        ...


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """LedgerKeys (XDR) that an invocation may touch, each list in the host's order."""

    #: Keys that are only read.
    read_only: tuple[bytes, ...]
    #: Keys that are read and written.
    read_write: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class EntryChange:
    """One entry before and after an invocation; changes are in the order of the footprint."""

    #: LedgerKey (XDR).
    key: bytes
    #: The entry before; None when it did not exist (or had expired).
    before: Entry | None
    #: The entry after; None when it was removed.
    after: Entry | None


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources that an invocation used, as a simulation declares them (with its margins)."""

    #: CPU instructions.
    instructions: int
    #: Bytes of memory.
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class InvocationResult:
    """The result of an invocation; none of its effects are kept in the view."""

    #: True when the invocation succeeded.
    ok: bool
    #: The return value.
    value: xdr.SCVal | None
    #: The reason of a failure.
    error: xdr.SCError | None
    #: Contract events in order; none after a failure.
    events: tuple[xdr.ContractEvent, ...]
    #: Diagnostic events in order, contract events among them.
    diagnostics: tuple[xdr.DiagnosticEvent, ...]
    #: Places of the diagnostic events that nested calls emitted which failed.
    undone: frozenset[int]
    #: Entries written, removed or extended; none after a failure.
    changes: tuple[EntryChange, ...]
    #: The keys that were touched, or the given footprint.
    footprint: Footprint
    #: The authorisations that were asked for, or the given ones.
    auth: tuple[xdr.SorobanAuthorizationEntry, ...]
    #: Resources that the invocation used.
    resources: Resources
