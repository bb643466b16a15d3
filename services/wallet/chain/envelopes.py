"""Envelopes of farm calls: built, filled in from a simulation, signed, wrapped in a fee bump.

The farmer's own account is the inner source: its signature authorises the call, its sequence number
orders it, and it needs no XLM. The treasury is the fee source of the outer transaction.
"""

from dataclasses import dataclass

from stellar_sdk import (
    Account,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    Keypair,
    TransactionBuilder,
    TransactionEnvelope,
    xdr,
)
from stellar_sdk.decorated_signature import DecoratedSignature

from services.wallet.chain.calls import FarmCall
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.model import SignedEnvelope, Signer

#: Stroops added to the resource fee, for the entries that another plant may make meanwhile (a plant
#: that opens a block costs about 6,200 more). What is not used of it comes back.
RESOURCE_FEE_MARGIN = 15_000
#: Lowest inclusion fee of an operation, in stroops.
MIN_INCLUSION_FEE = 100


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a simulation found out about a call."""

    #: Footprint and resources.
    data: xdr.SorobanTransactionData
    #: Authorisations; those of the source account need no signature of their own.
    auth: tuple[xdr.SorobanAuthorizationEntry, ...]
    #: Stroops of XLM for the resources.
    resource_fee: int


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


def build_inner(
    call: FarmCall, *, source: str, sequence: int, terms: Terms, prepared: Prepared | None
) -> TransactionEnvelope:
    """The farmer's transaction with this sequence number; without `prepared`, for a simulation."""
    auth = list(prepared.auth) if prepared is not None else []
    builder = TransactionBuilder(
        Account(source, sequence - 1), terms.passphrase, base_fee=MIN_INCLUSION_FEE
    )
    builder.append_operation(call.operation(auth)).add_time_bounds(0, terms.max_time)
    if prepared is not None:
        builder.set_soroban_data(prepared.data)
    envelope = builder.build()
    if prepared is not None:
        envelope.transaction.fee = MIN_INCLUSION_FEE + prepared.resource_fee
    return envelope


def prepare(*, transaction_data: str, auth: list[str], min_resource_fee: int) -> Prepared:
    """Reads a simulation's answer; the resource fee gets its margin."""
    data = xdr.SorobanTransactionData.from_xdr(transaction_data)
    fee = min_resource_fee + RESOURCE_FEE_MARGIN
    data.resource_fee = xdr.Int64(fee)
    entries = tuple(xdr.SorobanAuthorizationEntry.from_xdr(entry) for entry in auth)
    return Prepared(data=data, auth=entries, resource_fee=fee)


def sign_call(
    call: FarmCall,
    *,
    signer: Signer,
    treasury: Signer,
    sequence: int,
    terms: Terms,
    prepared: Prepared,
) -> SignedEnvelope:
    """The signed fee bump; FeeCapExceededError when its bid would exceed terms.max_fee."""
    inner = build_inner(
        call, source=signer.address, sequence=sequence, terms=terms, prepared=prepared
    )
    sign(inner, signer)
    # The outer transaction counts as one operation more than the inner one.
    bid = max(terms.inclusion_fee, MIN_INCLUSION_FEE) * 2 + prepared.resource_fee
    return _bump(inner, treasury=treasury, bid=bid, terms=terms)


def raise_bid(
    envelope: str, *, passphrase: str, treasury: Signer, fee: int, max_fee: int
) -> SignedEnvelope | None:
    """A fee bump of the same inner transaction that bids `fee` stroops in all.

    None when `envelope` is no fee bump or bids that much already; FeeCapExceededError above
    `max_fee`.
    """
    if not FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(envelope):
        return None
    outer = FeeBumpTransactionEnvelope.from_xdr(envelope, passphrase).transaction
    bounds = outer.inner_transaction_envelope.transaction.preconditions
    if outer.fee >= fee or bounds is None or bounds.time_bounds is None:
        return None
    terms = Terms(
        passphrase=passphrase,
        max_time=bounds.time_bounds.max_time,
        inclusion_fee=MIN_INCLUSION_FEE,
        max_fee=max_fee,
    )
    return _bump(outer.inner_transaction_envelope, treasury=treasury, bid=fee, terms=terms)


def _bump(
    inner: TransactionEnvelope, *, treasury: Signer, bid: int, terms: Terms
) -> SignedEnvelope:
    if bid > terms.max_fee:
        raise FeeCapExceededError(
            f"the bid of {bid} stroops exceeds the cap of {terms.max_fee}",
            metadata={"bid": str(bid), "cap": str(terms.max_fee)},
        )
    outer = FeeBumpTransactionEnvelope(
        FeeBumpTransaction(fee_source=treasury.address, fee=bid, inner_transaction_envelope=inner),
        terms.passphrase,
    )
    sign(outer, treasury)
    return SignedEnvelope(
        xdr=outer.to_xdr(),
        hash=outer.hash_hex(),
        inner_hash=inner.hash_hex(),
        source=inner.transaction.source.account_id,
        sequence=inner.transaction.sequence,
        max_time=terms.max_time,
        fee_bid=bid,
    )


def sign(envelope: TransactionEnvelope | FeeBumpTransactionEnvelope, signer: Signer) -> None:
    """Adds a signature; the seed stays with the signer."""
    hint = Keypair.from_public_key(signer.address).signature_hint()
    envelope.signatures.append(DecoratedSignature(hint, signer.sign(envelope.hash())))
