"""The treasury's own transactions: farmers' accounts with sponsored reserves, channel accounts."""

from collections.abc import Sequence
from dataclasses import dataclass

from stellar_sdk import Account, Asset, TransactionBuilder

from services.wallet.chain.envelopes import Terms, sign
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.model import SignedEnvelope, Signer

#: A transaction has at most 20 signatures: the treasury's and one per farmer.
MAX_FARMERS = 19
#: Operations of a transaction.
MAX_FUNDINGS = 100
#: 1 XLM, or 1 KALE.
STROOPS_PER_UNIT = 10_000_000


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
    signers = [treasury, *(newcomer.signer for newcomer in newcomers)]
    return finish(builder, signers, len(newcomers), terms)


@dataclass(frozen=True, kw_only=True)
class Funding:
    """A channel account that the treasury makes, or sends XLM."""

    #: strkey G...
    address: str
    #: It is to be created with the amount, not to be paid it.
    is_new: bool
    #: Stroops of XLM.
    amount: int


def sign_funding(
    fundings: Sequence[Funding], *, treasury: Signer, sequence: int, terms: Terms
) -> SignedEnvelope:
    """One transaction of the treasury for up to 100 channels; all of it happens or nothing."""
    if not 1 <= len(fundings) <= MAX_FUNDINGS:
        raise ValueError(f"1 to {MAX_FUNDINGS} channels fit, not {len(fundings)}")
    builder = TransactionBuilder(
        Account(treasury.address, sequence - 1), terms.passphrase, base_fee=terms.inclusion_fee
    )
    builder.add_time_bounds(0, terms.max_time)
    for funding in fundings:
        amount = format_stroops(funding.amount)
        if funding.is_new:
            builder.append_create_account_op(funding.address, starting_balance=amount)
        else:
            builder.append_payment_op(funding.address, Asset.native(), amount)
    return finish(builder, [treasury], len(fundings), terms)


def format_stroops(stroops: int) -> str:
    """Stroops (of XLM or KALE) as the decimal that the SDK wants; exact."""
    return f"{stroops // STROOPS_PER_UNIT}.{stroops % STROOPS_PER_UNIT:07}"


def finish(
    builder: TransactionBuilder, signers: Sequence[Signer], shares: int, terms: Terms
) -> SignedEnvelope:
    """Built and signed, the treasury first; the cap holds for each of `shares`."""
    envelope = builder.build()
    transaction = envelope.transaction
    if transaction.fee > terms.max_fee * shares:
        raise FeeCapExceededError(
            f"the bid of {transaction.fee} stroops exceeds the cap of {terms.max_fee}"
        )
    for signer in signers:
        sign(envelope, signer)
    return SignedEnvelope(
        xdr=envelope.to_xdr(),
        hash=envelope.hash_hex(),
        inner_hash=None,
        source=signers[0].address,
        sequence=transaction.sequence,
        max_time=terms.max_time,
        fee_bid=transaction.fee,
    )


def _append(builder: TransactionBuilder, newcomer: Newcomer, treasury: str, asset: Asset) -> None:
    address = newcomer.signer.address
    builder.append_begin_sponsoring_future_reserves_op(address, source=treasury)
    if not newcomer.has_account:
        builder.append_create_account_op(address, starting_balance="0", source=treasury)
    builder.append_change_trust_op(asset, source=address)
    builder.append_end_sponsoring_future_reserves_op(source=address)
