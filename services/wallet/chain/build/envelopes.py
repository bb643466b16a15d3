"""Envelopes of farm calls: built, signed, wrapped in a fee bump.

There are two carriers (docs/adr/0001-carriers.md). With a fee bump, the farmer's own account is the
inner source, so its signature authorises the call and its sequence number orders the call, and the
treasury pays. A channel account of the pool is the source itself and pays for itself.
"""

import base64

from stellar_sdk import (
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    Keypair,
    TransactionEnvelope,
)
from stellar_sdk.decorated_signature import DecoratedSignature

from services.wallet.chain.build import wire
from services.wallet.chain.build.calls import raw
from services.wallet.chain.build.loads import Load
from services.wallet.chain.build.wire import Resources
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.networks import Network
from services.wallet.domain.bids import MIN_INCLUSION_FEE, Bid
from services.wallet.domain.chain_facts import SignedEnvelope, Signer
from services.wallet.domain.packing import Usage


def unsigned(load: Load, *, source: str, sequence: int, max_time: int) -> str:
    """Build the envelope (base64) to simulate."""
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
    load: Load,
    resources: Resources,
    *,
    network: Network,
    source: Signer,
    sequence: int,
    bid: Bid,
) -> SignedEnvelope:
    """Sign the transaction of a channel account, which pays for its transaction itself.

    Raises FeeCapExceededError when the bid would have to exceed bid.max_fee.
    """
    fee = bid.inclusion_within(operations=1, others=resources.fee) + resources.fee
    _check_cap(fee, bid.max_fee)
    body = _body(load, resources, source=source, sequence=sequence, fee=fee, bid=bid)
    inner, name = _signed(body, source, network)
    return SignedEnvelope(
        usage=_usage(resources, inner),
        xdr=base64.b64encode(inner).decode(),
        hash=name,
        inner_hash=None,
        source=source.address,
        sequence=sequence,
        max_time=bid.max_time,
        fee_bid=fee,
    )


def sign_bumped(
    load: Load,
    resources: Resources,
    *,
    network: Network,
    source: Signer,
    treasury: Signer,
    sequence: int,
    bid: Bid,
) -> SignedEnvelope:
    """Sign a farmer's transaction and the treasury's fee bump.

    Raises FeeCapExceededError as `sign_direct` does.
    """
    # The outer transaction counts as one operation more than the inner one.
    fee = bid.inclusion_within(operations=2, others=resources.fee) * 2 + resources.fee
    _check_cap(fee, bid.max_fee)
    own_fee = MIN_INCLUSION_FEE + resources.fee
    own = _body(load, resources, source=source, sequence=sequence, fee=own_fee, bid=bid)
    inner, inner_name = _signed(own, source, network)
    outer, name = bump(inner, fee=fee, treasury=treasury, network=network)
    return SignedEnvelope(
        usage=_usage(resources, outer),
        xdr=base64.b64encode(outer).decode(),
        hash=name,
        inner_hash=inner_name,
        source=source.address,
        sequence=sequence,
        max_time=bid.max_time,
        fee_bid=fee,
    )


def bump(inner: bytes, *, fee: int, treasury: Signer, network: Network) -> tuple[bytes, str]:
    """Sign the treasury's fee bump of a signed envelope; return its envelope and hash (hex)."""
    key = raw(treasury.address)
    body = wire.fee_bump(payer=key, fee=fee, inner=inner)
    name = wire.fee_bump_hash(network.id, body)
    return wire.fee_bump_envelope(body, [(key, treasury.sign(name))]), name.hex()


def _body(
    load: Load, resources: Resources, *, source: Signer, sequence: int, fee: int, bid: Bid
) -> bytes:
    return wire.transaction(
        source=raw(source.address),
        sequence=sequence,
        fee=fee,
        max_time=bid.max_time,
        invocation=load.invocation,
        authorizations=load.authorizations,
        resources=resources,
    )


def _signed(body: bytes, source: Signer, network: Network) -> tuple[bytes, str]:
    """Sign a transaction by its source; return the envelope and the transaction's hash (hex)."""
    name = wire.transaction_hash(network.id, body)
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
    envelope: str, *, network: Network, treasury: Signer, fee: int, max_fee: int
) -> SignedEnvelope | None:
    """Sign the treasury's fee bump of the same inner transaction, with a higher bid.

    The fee bump bids `fee` stroops in all. Of all envelopes with this inner transaction, at most
    one can be included. Returns None when `envelope` bids that much already. Raises
    FeeCapExceededError above `max_fee`.
    """
    inner, bid = _inside(envelope, network)
    bounds = inner.transaction.preconditions
    if bid >= fee or bounds is None or bounds.time_bounds is None:
        return None
    _check_cap(fee, max_fee)
    outer = FeeBumpTransactionEnvelope(
        FeeBumpTransaction(fee_source=treasury.address, fee=fee, inner_transaction_envelope=inner),
        network.passphrase,
    )
    sign(outer, treasury)
    return SignedEnvelope(
        xdr=outer.to_xdr(),
        hash=outer.hash_hex(),
        inner_hash=inner.hash_hex(),
        source=inner.transaction.source.account_id,
        sequence=inner.transaction.sequence,
        max_time=bounds.time_bounds.max_time,
        fee_bid=fee,
    )


def bid_in(envelope: str, *, network: Network, inner_hash: str) -> int | None:
    """Return the stroops that an envelope bids in all.

    Returns None for anything but an envelope of the transaction with this hash (hex).
    """
    try:
        inner, bid = _inside(envelope, network)
    except Exception:  # stellar_sdk raises whatever the bytes make it stumble over
        return None
    return bid if inner.hash_hex() == inner_hash else None


#: A node's queue lets an envelope replace a pending one when its bid per operation is this many
#: times the bid of the pending one.
_REPLACEMENT = 10


def replacing_bid(envelope: str, *, network: Network) -> int:
    """Return the stroops that a fee bump must bid in all to replace this envelope in nodes' queues.

    The bid is ten times the inclusion part per operation, and the fee bump counts as one operation
    more (STELLAR.md section 1).
    """
    inner, bid = _inside(envelope, network)
    data = inner.transaction.soroban_data
    resources = 0 if data is None else data.resource_fee.int64
    count = len(inner.transaction.operations)
    is_bump = FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(envelope)
    each = -(-(bid - resources) // (count + 1 if is_bump else count))
    return resources + _REPLACEMENT * each * (count + 1)


def _inside(envelope: str, network: Network) -> tuple[TransactionEnvelope, int]:
    """Return the transaction in an envelope, and the stroops that the envelope bids in all."""
    passphrase = network.passphrase
    if FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(envelope):
        outer = FeeBumpTransactionEnvelope.from_xdr(envelope, passphrase).transaction
        return outer.inner_transaction_envelope, outer.fee
    inner = TransactionEnvelope.from_xdr(envelope, passphrase)
    return inner, inner.transaction.fee


def _check_cap(fee: int, cap: int) -> None:
    """Raise FeeCapExceededError when `fee` exceeds the cap."""
    if fee > cap:
        raise FeeCapExceededError(
            f"the bid of {fee} stroops exceeds the cap of {cap}",
            bid=fee,
            metadata={"bid": str(fee), "cap": str(cap)},
        )


def sign(envelope: TransactionEnvelope | FeeBumpTransactionEnvelope, signer: Signer) -> None:
    """Add a signature to an envelope; the seed stays with the signer."""
    hint = Keypair.from_public_key(signer.address).signature_hint()
    envelope.signatures.append(DecoratedSignature(hint, signer.sign(envelope.hash())))
