"""A received envelope, parsed once: the hashes, fees, bounds and resources that the rules need.

Hashes are made from slices of the received bytes. XDR has one encoding, and to pack the envelope
again would cost more than all other steps.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from stellar_sdk import xdr

from localnet.ledger.keys import key_type, raw_muxed
from localnet.ledger.settings import Usage

_SOROBAN_OPERATIONS = frozenset(
    {
        xdr.OperationType.INVOKE_HOST_FUNCTION,
        xdr.OperationType.EXTEND_FOOTPRINT_TTL,
        xdr.OperationType.RESTORE_FOOTPRINT,
    }
)
_DISK_TYPES = frozenset({xdr.LedgerEntryType.ACCOUNT, xdr.LedgerEntryType.TRUSTLINE})


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A payload hash and the signatures over it."""

    #: The hash that the signatures sign; it is also the transaction's hash.
    hash: bytes
    #: Pairs of (hint, signature) in the order of the envelope.
    signatures: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True)
class Soroban:
    """The declared resources of a Soroban transaction."""

    #: The data as received.
    data: xdr.SorobanTransactionData
    #: Read-only keys of the footprint, packed, in the declared order.
    read_only: tuple[bytes, ...]
    #: Read-write keys of the footprint, in the same form.
    read_write: tuple[bytes, ...]
    #: Maximum cost of the resources in stroops.
    resource_fee: int
    #: The declared amounts, with the size of the envelope.
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """One envelope."""

    #: The envelope in XDR.
    envelope: bytes
    #: The inner transaction of a fee bump; otherwise the only transaction.
    inner: Signed
    #: The outer transaction of a fee bump; otherwise None.
    outer: Signed | None
    #: Raw key of the account whose sequence number is used.
    source: bytes
    #: Raw key of the account that pays the fee.
    fee_source: bytes
    #: Stroops that the payer offers in total.
    fee: int
    #: Stroops that the inner transaction offers.
    inner_fee: int
    #: Sequence number.
    sequence: int
    #: Preconditions.
    conditions: xdr.Preconditions
    #: Operations.
    operations: tuple[xdr.Operation, ...]
    #: Declared resources; None for classic transactions and for Soroban ones without data.
    soroban: Soroban | None

    @property
    def hash(self) -> bytes:
        """The hash by which clients look the transaction up: the outer hash of a fee bump."""
        return (self.outer or self.inner).hash

    @property
    def fee_bump(self) -> bool:
        """True when the envelope is a fee bump."""
        return self.outer is not None

    @property
    def fee_operations(self) -> int:
        """Number of operations that the inclusion fee is counted by; a fee bump counts one more."""
        return len(self.operations) + (1 if self.fee_bump else 0)

    @property
    def resource_fee(self) -> int:
        """Declared resource fee in stroops; 0 for classic transactions."""
        return self.soroban.resource_fee if self.soroban else 0

    @property
    def inclusion_fee(self) -> int:
        """Stroops offered for inclusion: the fee without the resource fee."""
        return self.fee - self.resource_fee

    @cached_property
    def is_soroban(self) -> bool:
        """True when any operation is a Soroban operation."""
        return any(o.body.type in _SOROBAN_OPERATIONS for o in self.operations)

    def fee_at(self, base_fee: int) -> int:
        """Return the stroops to pay up front when inclusion costs `base_fee` per operation."""
        return self.resource_fee + min(base_fee * self.fee_operations, self.inclusion_fee)

    @property
    def time_bounds(self) -> tuple[int, int]:
        """(minTime, maxTime) in seconds; 0 means no bound."""
        v2 = self.conditions.v2
        bounds = self.conditions.time_bounds or (v2.time_bounds if v2 else None)
        if bounds is None:
            return 0, 0
        return bounds.min_time.time_point.uint64, bounds.max_time.time_point.uint64

    @property
    def ledger_bounds(self) -> tuple[int, int]:
        """(minLedger, maxLedger); 0 means no bound."""
        bounds = self.conditions.v2.ledger_bounds if self.conditions.v2 else None
        if bounds is None:
            return 0, 0
        return bounds.min_ledger.uint32, bounds.max_ledger.uint32


def parse(envelope: bytes, network_id: bytes) -> Transaction:
    """Parse an envelope; ValueError (or an XDR error derived from it) when the bytes are none."""
    parsed = xdr.TransactionEnvelope.from_xdr_bytes(envelope)
    if parsed.fee_bump is not None:
        return _parse_fee_bump(envelope, parsed.fee_bump, network_id)
    if parsed.v1 is not None:
        inner = _signed(envelope[4:], parsed.v1.signatures, network_id)
        return _build(envelope, parsed.v1.tx, inner)
    if parsed.v0 is not None:
        # A V0 transaction is signed like the V1 transaction with an ed25519 source.
        inner = _signed(bytes(4) + envelope[4:], parsed.v0.signatures, network_id)
        return _build(envelope, _upgrade(parsed.v0.tx), inner)
    raise ValueError("no transaction in the envelope")


def _parse_fee_bump(
    envelope: bytes, bump: xdr.FeeBumpTransactionEnvelope, network_id: bytes
) -> Transaction:
    inner_envelope = bump.tx.inner_tx.v1
    if inner_envelope is None:
        raise ValueError("a fee bump without an inner transaction")
    outer_kind = int(xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP)
    outer = _signed(envelope[4:], bump.signatures, network_id, kind=outer_kind)
    # Fee source, fee and the inner envelope's type come before the inner transaction.
    start = 4 + (36 if bump.tx.fee_source.ed25519 is not None else 44) + 8 + 4
    end = len(envelope) - _signatures_size(bump.signatures) - 4
    inner = _signed(envelope[start:end], inner_envelope.signatures, network_id)
    return _build(
        envelope,
        inner_envelope.tx,
        inner,
        outer=outer,
        fee_source=raw_muxed(bump.tx.fee_source),
        fee=bump.tx.fee.int64,
        inner_size=4 + end - start,
    )


def _signatures_size(signatures: list[xdr.DecoratedSignature]) -> int:
    return 4 + sum(8 + (len(s.signature.signature) + 3) // 4 * 4 for s in signatures)


def _signed(
    tx_and_signatures: bytes,
    signatures: list[xdr.DecoratedSignature],
    network_id: bytes,
    kind: int = int(xdr.EnvelopeType.ENVELOPE_TYPE_TX),
) -> Signed:
    body = tx_and_signatures[: len(tx_and_signatures) - _signatures_size(signatures)]
    return Signed(
        hash=sha256(network_id + kind.to_bytes(4, "big") + body).digest(),
        signatures=tuple((s.hint.signature_hint, s.signature.signature) for s in signatures),
    )


def _upgrade(tx: xdr.TransactionV0) -> xdr.Transaction:
    bounds = tx.time_bounds
    kind = xdr.PreconditionType.PRECOND_TIME if bounds else xdr.PreconditionType.PRECOND_NONE
    return xdr.Transaction(
        source_account=xdr.MuxedAccount(
            xdr.CryptoKeyType.KEY_TYPE_ED25519, ed25519=tx.source_account_ed25519
        ),
        fee=tx.fee,
        seq_num=tx.seq_num,
        cond=xdr.Preconditions(kind, time_bounds=bounds),
        memo=tx.memo,
        operations=tx.operations,
        ext=xdr.TransactionExt(0),
    )


def _build(
    envelope: bytes,
    tx: xdr.Transaction,
    inner: Signed,
    *,
    outer: Signed | None = None,
    fee_source: bytes | None = None,
    fee: int | None = None,
    inner_size: int = 0,
) -> Transaction:
    source = raw_muxed(tx.source_account)
    return Transaction(
        envelope=envelope,
        inner=inner,
        outer=outer,
        source=source,
        fee_source=source if fee_source is None else fee_source,
        fee=tx.fee.uint32 if fee is None else fee,
        inner_fee=tx.fee.uint32,
        sequence=tx.seq_num.sequence_number.int64,
        conditions=tx.cond,
        operations=tuple(tx.operations),
        # For a fee bump, the size of its inner envelope counts (measured).
        soroban=_soroban(tx.ext.soroban_data, len(envelope) if outer is None else inner_size),
    )


def _soroban(data: xdr.SorobanTransactionData | None, size: int) -> Soroban | None:
    if data is None:
        return None
    read_only = tuple(k.to_xdr_bytes() for k in data.resources.footprint.read_only)
    read_write = tuple(k.to_xdr_bytes() for k in data.resources.footprint.read_write)
    return Soroban(
        data=data,
        read_only=read_only,
        read_write=read_write,
        resource_fee=data.resource_fee.int64,
        usage=Usage(
            count=1,
            instructions=data.resources.instructions.uint32,
            tx_bytes=size,
            disk_reads=disk_reads(read_only + read_write),
            disk_read_bytes=data.resources.disk_read_bytes.uint32,
            write_entries=len(read_write),
            write_bytes=data.resources.write_bytes.uint32,
        ),
    )


def disk_reads(keys: tuple[bytes, ...]) -> int:
    """Return the number of footprint entries that are read from disk: the classic entries."""
    return sum(key_type(k) in _DISK_TYPES for k in keys)
