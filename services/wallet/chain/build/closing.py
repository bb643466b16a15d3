"""The treasury's transaction that closes accounts of farmers and poolers that leave."""

from collections.abc import Sequence
from dataclasses import dataclass

from stellar_sdk import Account, Asset, TransactionBuilder

from services.wallet.chain.build.onboarding import MAX_FARMERS, finish, format_stroops
from services.wallet.chain.networks import Network
from services.wallet.domain.bids import Bid
from services.wallet.domain.chain_facts import SignedEnvelope, Signer
from services.wallet.domain.closing import Closing


@dataclass(frozen=True, kw_only=True)
class Closed:
    """An account that is closed."""

    #: Its key, which must agree to all of it.
    signer: Signer
    #: How.
    closing: Closing


def sign_closings(
    closed: Sequence[Closed], *, treasury: Signer, sequence: int, network: Network, bid: Bid
) -> SignedEnvelope:
    """Sign one transaction of the treasury that closes up to 19 accounts, all or none.

    The line goes first: the reserve that an account pays for it can leave then.
    """
    if not 1 <= len(closed) <= MAX_FARMERS:
        raise ValueError(f"1 to {MAX_FARMERS} accounts fit, not {len(closed)}")
    builder = TransactionBuilder(
        Account(treasury.address, sequence - 1), network.passphrase, base_fee=bid.inclusion_fee
    )
    builder.add_time_bounds(0, bid.max_time)
    for one in closed:
        _append(builder, one, treasury.address, network.asset)
    signers = [treasury, *(one.signer for one in closed)]
    return finish(builder, signers, len(closed), bid)


def _append(builder: TransactionBuilder, closed: Closed, treasury: str, kale: Asset) -> None:
    address, closing = closed.signer.address, closed.closing
    if closing.has_line:
        builder.append_change_trust_op(kale, limit="0", source=address)
    if not closing.is_sponsored:
        builder.append_account_merge_op(closing.pays_to, source=address)
        return
    if closing.xlm:
        builder.append_payment_op(
            closing.pays_to, Asset.native(), format_stroops(closing.xlm), source=address
        )
    builder.append_account_merge_op(treasury, source=address)
