"""The treasury's own transactions.

They create farmers' accounts with sponsored reserves, and the pool's accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stellar_sdk import Account, Asset, TransactionBuilder

from services.wallet.chain.build.envelopes import sign
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.networks import Network
from services.wallet.domain.bids import Bid
from services.wallet.domain.chain_facts import SignedEnvelope, Signer

#: A transaction has at most 20 signatures: the treasury's and one per farmer.
MAX_FARMERS = 19
#: Operations of a transaction at most.
MAX_NEW_ACCOUNTS = 100
#: 1 XLM, or 1 KALE.
STROOPS_PER_UNIT = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """A farmer to bring onto the chain."""

    #: The farmer's key: the farmer must agree to the trustline and the sponsorship.
    signer: Signer
    #: Whether the account exists already, and only the trustline is missing.
    has_account: bool


def sign_onboarding(
    newcomers: Sequence[Newcomer],
    *,
    treasury: Signer,
    sequence: int,
    network: Network,
    bid: Bid,
) -> SignedEnvelope:
    """Sign one transaction of the treasury for up to 19 farmers.

    Either all of the transaction happens or nothing.
    """
    if not 1 <= len(newcomers) <= MAX_FARMERS:
        raise ValueError(f"1 to {MAX_FARMERS} farmers fit, not {len(newcomers)}")
    builder = TransactionBuilder(
        Account(treasury.address, sequence - 1), network.passphrase, base_fee=bid.inclusion_fee
    )
    builder.add_time_bounds(0, bid.max_time)
    for newcomer in newcomers:
        _append(builder, newcomer, treasury.address, network.asset)
    signers = [treasury, *(newcomer.signer for newcomer in newcomers)]
    return finish(builder, signers, len(newcomers), bid)


@dataclass(frozen=True, kw_only=True)
class Leaver:
    """A farmer whose account is given up."""

    #: The farmer's key, which must agree to both.
    signer: Signer
    #: Whether it has a KALE trustline, which must be empty.
    has_line: bool


def sign_reclaim(
    leavers: Sequence[Leaver], *, treasury: Signer, sequence: int, network: Network, bid: Bid
) -> SignedEnvelope:
    """Sign one transaction of the treasury that merges up to 19 farmers' accounts into it.

    The reserves that the treasury sponsors for them are free afterwards.
    """
    if not 1 <= len(leavers) <= MAX_FARMERS:
        raise ValueError(f"1 to {MAX_FARMERS} farmers fit, not {len(leavers)}")
    builder = TransactionBuilder(
        Account(treasury.address, sequence - 1), network.passphrase, base_fee=bid.inclusion_fee
    )
    builder.add_time_bounds(0, bid.max_time)
    for leaver in leavers:
        address = leaver.signer.address
        if leaver.has_line:
            builder.append_change_trust_op(network.asset, limit="0", source=address)
        builder.append_account_merge_op(treasury.address, source=address)
    signers = [treasury, *(leaver.signer for leaver in leavers)]
    return finish(builder, signers, len(leavers), bid)


@dataclass(frozen=True, kw_only=True)
class NewAccount:
    """An account of the pool's own that the treasury creates."""

    #: strkey G...
    address: str
    #: Stroops of XLM that it begins with.
    amount: int


def sign_new_accounts(
    new_accounts: Sequence[NewAccount],
    *,
    network: Network,
    treasury: Signer,
    sequence: int,
    bid: Bid,
) -> SignedEnvelope:
    """Sign one transaction of the treasury for up to 100 accounts.

    Either all of the transaction happens or nothing.
    """
    if not 1 <= len(new_accounts) <= MAX_NEW_ACCOUNTS:
        raise ValueError(f"1 to {MAX_NEW_ACCOUNTS} accounts fit, not {len(new_accounts)}")
    builder = TransactionBuilder(
        Account(treasury.address, sequence - 1), network.passphrase, base_fee=bid.inclusion_fee
    )
    builder.add_time_bounds(0, bid.max_time)
    for new_account in new_accounts:
        amount = format_stroops(new_account.amount)
        builder.append_create_account_op(new_account.address, starting_balance=amount)
    return finish(builder, [treasury], len(new_accounts), bid)


def format_stroops(stroops: int) -> str:
    """Format stroops (of XLM or KALE) exactly, as the decimal text that the SDK expects."""
    return f"{stroops // STROOPS_PER_UNIT}.{stroops % STROOPS_PER_UNIT:07}"


def finish(
    builder: TransactionBuilder, signers: Sequence[Signer], shares: int, bid: Bid
) -> SignedEnvelope:
    """Build the transaction and sign it, the treasury first.

    The cap holds for each of `shares`. The bid for inclusion is at most the amount that the cap
    leaves.
    """
    whole = bid.for_all(shares)
    operations = max(1, len(builder.operations))
    builder.base_fee = whole.inclusion_within(operations=operations, others=0)
    envelope = builder.build()
    transaction = envelope.transaction
    if transaction.fee > whole.max_fee:
        raise FeeCapExceededError(
            f"the bid of {transaction.fee} stroops exceeds the cap of {bid.max_fee}"
        )
    for signer in signers:
        sign(envelope, signer)
    return SignedEnvelope(
        xdr=envelope.to_xdr(),
        hash=envelope.hash_hex(),
        inner_hash=None,
        source=signers[0].address,
        sequence=transaction.sequence,
        max_time=bid.max_time,
        fee_bid=transaction.fee,
    )


def _append(builder: TransactionBuilder, newcomer: Newcomer, treasury: str, asset: Asset) -> None:
    address = newcomer.signer.address
    builder.append_begin_sponsoring_future_reserves_op(address, source=treasury)
    if not newcomer.has_account:
        builder.append_create_account_op(address, starting_balance="0", source=treasury)
    builder.append_change_trust_op(asset, source=address)
    builder.append_end_sponsoring_future_reserves_op(source=address)
