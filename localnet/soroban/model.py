"""What goes into an invocation and what comes out."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from stellar_sdk import xdr

AuthMode = Literal["record", "record_allow_nonroot", "enforce"]


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """Network settings that the host needs; defaults as measured on mainnet."""

    #: Ledgers that a new temporary entry lives at least.
    min_temporary_ttl: int = 17_280
    #: Ledgers that a new persistent entry lives at least.
    min_persistent_ttl: int = 2_073_600
    #: Ledgers that an entry may live at most.
    max_entry_ttl: int = 3_110_400
    #: Seconds of a KALE block (300 on the real network).
    block_seconds: int = 300
    #: Instructions of a transaction at most.
    tx_max_instructions: int = 400_000_000
    #: Bytes of memory of a transaction at most.
    tx_memory_limit: int = 41_943_040


@dataclass(frozen=True, kw_only=True)
class LedgerInfo:
    """The ledger that an invocation runs in."""

    #: Its sequence.
    sequence: int
    #: Its close time, unix seconds.
    close_time: int
    #: SHA-256 of the network's passphrase.
    network_id: bytes
    #: The network's settings.
    settings: HostSettings = field(default_factory=HostSettings)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A ledger entry and its life."""

    #: The entry.
    entry: xdr.LedgerEntry
    #: Last ledger in which it exists; None for classic entries.
    live_until: int | None


class LedgerView(Protocol):
    """The state before an invocation; expired entries may be given: the host checks lives."""

    def get(self, key: bytes) -> Entry | None:
        """The entry with this LedgerKey (XDR), or None."""
        ...


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """LedgerKeys (XDR) that an invocation may touch, each list in the host's order."""

    #: Only read.
    read_only: tuple[bytes, ...]
    #: Read and written.
    read_write: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class EntryChange:
    """One entry before and after; in the order of the footprint."""

    #: LedgerKey (XDR).
    key: bytes
    #: None when it was not there (or had expired).
    before: Entry | None
    #: None when it was removed.
    after: Entry | None


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What an invocation used, as a simulation declares it (with its margins)."""

    #: CPU instructions.
    instructions: int
    #: Bytes of memory.
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class InvocationResult:
    """What an invocation did; nothing of it is kept in the view."""

    #: Whether it succeeded.
    ok: bool
    #: The return value.
    value: xdr.SCVal | None
    #: Why it failed.
    error: xdr.SCError | None
    #: Contract events in order; none after a failure.
    events: tuple[xdr.ContractEvent, ...]
    #: Diagnostic events in order, contract events among them.
    diagnostics: tuple[xdr.DiagnosticEvent, ...]
    #: Entries written, removed or extended; none after a failure.
    changes: tuple[EntryChange, ...]
    #: What was touched, or was given.
    footprint: Footprint
    #: The authorisations that were asked for, or were given.
    auth: tuple[xdr.SorobanAuthorizationEntry, ...]
    #: What it used.
    resources: Resources
