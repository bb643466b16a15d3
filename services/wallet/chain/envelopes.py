"""Envelopes of farm calls: built, signed, wrapped in a fee bump.

Two carriers (DESIGN section 5). A fee bump: the farmer's own account is the inner source, so its
signature authorises the call and its sequence number orders it, and the treasury pays. A channel
account of the pool: it is the source and pays for itself.
"""

import base64
import hashlib
from dataclasses import dataclass

from stellar_sdk import (
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    Keypair,
    TransactionEnvelope,
)
from stellar_sdk.decorated_signature import DecoratedSignature

from services.wallet.chain import wire
from services.wallet.chain.calls import raw
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.loads import Load
from services.wallet.chain.model import SignedEnvelope, Signer
from services.wallet.chain.wire import Resources
from services.wallet.domain.packing import Usage

#: Lowest inclusion fee of an operation, in stroops.
MIN_INCLUSION_FEE = 100


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an envelope may cost and until when it may be included."""

    #: Network passphrase.
    passphrase: str
    #: Close time (unix seconds) after which no ledger may take it.
    max_time: int
    #: Stroops bid per operation for inclusion.
    inclusion_fee: int
    #: Stroops that the network may charge at most.
    max_fee: int

    @property
    def network_id(self) -> bytes:
        """SHA-256 of the passphrase, as it goes into every hash that is signed."""
        return hashlib.sha256(self.passphrase.encode()).digest()


def inclusion_within(terms: Terms, *, operations: int, others: int) -> int:
    """Stroops to bid for inclusion per operation: what is asked for, or what the cap leaves beside
    the `others`. What a node says of it never makes a bid exceed the cap."""
    left = (terms.max_fee - others) // operations
    return max(MIN_INCLUSION_FEE, min(terms.inclusion_fee, left))


def unsigned(load: Load, *, source: str, sequence: int, max_time: int) -> str:
    """The envelope (base64) to simulate."""
    body = wire.transaction(
        source=raw(source),
        sequence=sequence,
        fee=MIN_INCLUSION_FEE,
        max_time=max_time,
        invocation=load.invocation,
        authorizations=load.authorizations,
    )
    return base64.b64encode(wire.envelope(body)).decode()


def sign_direct(
    load: Load, *, source: Signer, sequence: int, terms: Terms, resources: Resources
) -> SignedEnvelope:
    """The signed transaction of a channel account, which pays for it itself.

    FeeCapExceededError when its bid would exceed terms.max_fee.
    """
    bid = inclusion_within(terms, operations=1, others=resources.fee) + resources.fee
    _check_cap(bid, terms, fits_at=terms.max_fee - resources.fee)
    body = _body(load, resources, source=source, sequence=sequence, fee=bid, terms=terms)
    inner, name = _signed(body, source, terms)
    return SignedEnvelope(
        usage=_usage(resources, inner),
        xdr=base64.b64encode(inner).decode(),
        hash=name,
        inner_hash=None,
        source=source.address,
        sequence=sequence,
        max_time=terms.max_time,
        fee_bid=bid,
    )


def sign_bumped(
    load: Load,
    *,
    source: Signer,
    payer: Signer,
    sequence: int,
    terms: Terms,
    resources: Resources,
) -> SignedEnvelope:
    """The signed fee bump of a farmer's transaction; FeeCapExceededError as above."""
    # The outer transaction counts as one operation more than the inner one.
    bid = inclusion_within(terms, operations=2, others=resources.fee) * 2 + resources.fee
    _check_cap(bid, terms, fits_at=(terms.max_fee - resources.fee) // 2)
    fee = MIN_INCLUSION_FEE + resources.fee
    own = _body(load, resources, source=source, sequence=sequence, fee=fee, terms=terms)
    inner, inner_name = _signed(own, source, terms)
    key = raw(payer.address)
    body = wire.fee_bump(payer=key, fee=bid, inner=inner)
    name = wire.fee_bump_hash(terms.network_id, body)
    outer = wire.fee_bump_envelope(body, [(key, payer.sign(name))])
    return SignedEnvelope(
        usage=_usage(resources, outer),
        xdr=base64.b64encode(outer).decode(),
        hash=name.hex(),
        inner_hash=inner_name,
        source=source.address,
        sequence=sequence,
        max_time=terms.max_time,
        fee_bid=bid,
    )


def _body(
    load: Load, resources: Resources, *, source: Signer, sequence: int, fee: int, terms: Terms
) -> bytes:
    return wire.transaction(
        source=raw(source.address),
        sequence=sequence,
        fee=fee,
        max_time=terms.max_time,
        invocation=load.invocation,
        authorizations=load.authorizations,
        resources=resources,
    )


def _signed(body: bytes, source: Signer, terms: Terms) -> tuple[bytes, str]:
    """The envelope, signed by its source, and its hash (hex)."""
    name = wire.transaction_hash(terms.network_id, body)
    return wire.envelope(body, [(raw(source.address), source.sign(name))]), name.hex()


def _usage(resources: Resources, envelope: bytes) -> Usage:
    return Usage(
        instructions=resources.instructions,
        footprint=len(resources.read_only) + len(resources.read_write),
        write_entries=len(resources.read_write),
        write_bytes=resources.write_bytes,
        envelope_bytes=len(envelope),
    )


def raise_bid(
    envelope: str, *, passphrase: str, payer: Signer, fee: int, max_fee: int
) -> SignedEnvelope | None:
    """A fee bump, paid by `payer`, of the same inner transaction that bids `fee` stroops in all.

    Of all that have this inner transaction, at most one can be included. None when `envelope` bids
    that much already; FeeCapExceededError above `max_fee`.
    """
    inner, bid = _inside(envelope, passphrase)
    bounds = inner.transaction.preconditions
    if bid >= fee or bounds is None or bounds.time_bounds is None:
        return None
    if fee > max_fee:
        raise _above_cap(fee, max_fee)
    outer = FeeBumpTransactionEnvelope(
        FeeBumpTransaction(fee_source=payer.address, fee=fee, inner_transaction_envelope=inner),
        passphrase,
    )
    sign(outer, payer)
    return SignedEnvelope(
        xdr=outer.to_xdr(),
        hash=outer.hash_hex(),
        inner_hash=inner.hash_hex(),
        source=inner.transaction.source.account_id,
        sequence=inner.transaction.sequence,
        max_time=bounds.time_bounds.max_time,
        fee_bid=fee,
    )


#: A queue lets an envelope replace a pending one for so many times its bid per operation.
_REPLACEMENT = 10


def replacing_bid(envelope: str, *, passphrase: str) -> int:
    """Stroops that a fee bump has to bid in all to replace this envelope in nodes' queues.

    Ten times the inclusion part per operation, and the fee bump counts as one operation more
    (STELLAR.md section 1).
    """
    inner, bid = _inside(envelope, passphrase)
    data = inner.transaction.soroban_data
    resources = 0 if data is None else data.resource_fee.int64
    count = len(inner.transaction.operations)
    is_bump = FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(envelope)
    each = -(-(bid - resources) // (count + 1 if is_bump else count))
    return resources + _REPLACEMENT * each * (count + 1)


def _inside(envelope: str, passphrase: str) -> tuple[TransactionEnvelope, int]:
    """The transaction in an envelope, and what the envelope bids in all."""
    if FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(envelope):
        outer = FeeBumpTransactionEnvelope.from_xdr(envelope, passphrase).transaction
        return outer.inner_transaction_envelope, outer.fee
    inner = TransactionEnvelope.from_xdr(envelope, passphrase)
    return inner, inner.transaction.fee


def _check_cap(bid: int, terms: Terms, *, fits_at: int = 0) -> None:
    """`fits_at` is the inclusion fee at which the cap would be kept; below the lowest: at none."""
    if bid > terms.max_fee:
        raise _above_cap(bid, terms.max_fee, fits_at=fits_at)


def _above_cap(bid: int, cap: int, *, fits_at: int = 0) -> FeeCapExceededError:
    return FeeCapExceededError(
        f"the bid of {bid} stroops exceeds the cap of {cap}",
        bid=bid,
        fits_at=fits_at if fits_at >= MIN_INCLUSION_FEE else None,
        metadata={"bid": str(bid), "cap": str(cap)},
    )


def sign(envelope: TransactionEnvelope | FeeBumpTransactionEnvelope, signer: Signer) -> None:
    """Adds a signature; the seed stays with the signer."""
    hint = Keypair.from_public_key(signer.address).signature_hint()
    envelope.signatures.append(DecoratedSignature(hint, signer.sign(envelope.hash())))
