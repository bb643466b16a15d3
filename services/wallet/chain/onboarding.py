"""Farmers' accounts and KALE trustlines, made by the treasury with sponsored reserves."""

from collections.abc import Sequence
from dataclasses import dataclass

from stellar_sdk import Account, Asset, TransactionBuilder

from services.wallet.chain.envelopes import Terms, sign
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.model import SignedEnvelope, Signer

#: A transaction has at most 20 signatures: the treasury's and one per farmer.
MAX_FARMERS = 19


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """A farmer to bring onto the chain."""

    #: Its key: it must agree to the trustline and the sponsorship.
    signer: Signer
    #: The account exists already; only the trustline is missing.
    has_account: bool


def sign_onboarding(
    newcomers: Sequence[Newcomer],
    *,
    treasury: Signer,
    sequence: int,
    asset: Asset,
    terms: Terms,
) -> SignedEnvelope:
    """One transaction of the treasury for up to 19 farmers; all of it happens or nothing."""
    if not 1 <= len(newcomers) <= MAX_FARMERS:
        raise ValueError(f"1 to {MAX_FARMERS} farmers fit, not {len(newcomers)}")
    builder = TransactionBuilder(
        Account(treasury.address, sequence - 1), terms.passphrase, base_fee=terms.inclusion_fee
    )
    builder.add_time_bounds(0, terms.max_time)
    for newcomer in newcomers:
        _append(builder, newcomer, treasury.address, asset)
    envelope = builder.build()
    bid = envelope.transaction.fee
    if bid > terms.max_fee * len(newcomers):
        raise FeeCapExceededError(f"the bid of {bid} stroops exceeds the cap of {terms.max_fee}")
    for signer in (treasury, *(newcomer.signer for newcomer in newcomers)):
        sign(envelope, signer)
    return SignedEnvelope(
        xdr=envelope.to_xdr(),
        hash=envelope.hash_hex(),
        inner_hash=None,
        source=treasury.address,
        sequence=sequence,
        max_time=terms.max_time,
        fee_bid=bid,
    )


def _append(builder: TransactionBuilder, newcomer: Newcomer, treasury: str, asset: Asset) -> None:
    address = newcomer.signer.address
    builder.append_begin_sponsoring_future_reserves_op(address, source=treasury)
    if not newcomer.has_account:
        builder.append_create_account_op(address, starting_balance="0", source=treasury)
    builder.append_change_trust_op(asset, source=address)
    builder.append_end_sponsoring_future_reserves_op(source=address)
