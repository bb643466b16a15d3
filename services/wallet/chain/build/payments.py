"""Transactions that make payments.

A payer account is the source, other accounts pay, the treasury bids. Protocol: domain/payments.py.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from stellar_sdk import xdr

from services.wallet.chain.build import wire
from services.wallet.chain.build.calls import raw
from services.wallet.chain.build.data_entries import data_key
from services.wallet.chain.build.envelopes import bump
from services.wallet.chain.errors import FeeCapExceededError
from services.wallet.chain.networks import Network
from services.wallet.domain.bids import MIN_INCLUSION_FEE, Bid
from services.wallet.domain.chain_facts import SignedEnvelope, Signer
from services.wallet.domain.withdrawals import Asset

#: A transaction has at most 20 signatures: the payer's and one per account that pays.
MAX_ACCOUNTS = 19
#: A transaction has at most 100 operations, of which the last is the payer's own.
MAX_PAYMENTS = 99
#: SEP-29: an account with this data entry, set to "1", wants a memo with every payment.
MEMO_ENTRY = b"config.memo_required"


@dataclass(frozen=True, kw_only=True)
class Payment:
    """The payment of one account."""

    #: The key of the account that pays.
    signer: Signer
    #: strkey G...
    destination: str
    #: The asset to pay in.
    asset: Asset
    #: In stroops.
    amount: int


def sign_payments(
    payments: Sequence[Payment],
    *,
    payer: Signer,
    treasury: Signer,
    sequence: int,
    bump_to: int,
    network: Network,
    bid: Bid,
) -> SignedEnvelope:
    """Sign one transaction of a payer account for these payments; all of them happen or none.

    The last operation bumps the payer account's sequence number to `bump_to`. The treasury pays by
    a fee bump, so that a bid can be raised around the same transaction. Raises FeeCapExceededError
    above bid.max_fee stroops for each payment and for the bump operation.
    """
    accounts = {payment.signer.address: payment.signer for payment in payments}
    if not 1 <= len(payments) <= MAX_PAYMENTS or len(accounts) > MAX_ACCOUNTS:
        raise ValueError(
            f"1 to {MAX_PAYMENTS} payments of up to {MAX_ACCOUNTS} accounts fit, not "
            f"{len(payments)} of {len(accounts)}"
        )
    operations = [_operation(payment, network) for payment in payments]
    operations.append(wire.bump_sequence(bump_to))
    fee = _fee(bid, len(operations))
    body = wire.plain_transaction(
        source=raw(payer.address),
        sequence=sequence,
        fee=MIN_INCLUSION_FEE * len(operations),
        max_time=bid.max_time,
        operations=operations,
    )
    inner_name = wire.transaction_hash(network.id, body)
    signatures = [
        (raw(signer.address), signer.sign(inner_name)) for signer in (payer, *accounts.values())
    ]
    outer, name = bump(wire.envelope(body, signatures), fee=fee, treasury=treasury, network=network)
    return SignedEnvelope(
        xdr=base64.b64encode(outer).decode(),
        hash=name,
        inner_hash=inner_name.hex(),
        source=payer.address,
        sequence=sequence,
        max_time=bid.max_time,
        fee_bid=fee,
        bump_to=bump_to,
    )


def _fee(bid: Bid, count: int) -> int:
    """Return the stroops to bid for so many operations. Raises FeeCapExceededError."""
    # A fee bump counts as one operation more.
    whole = bid.for_all(count)
    fee = whole.inclusion_within(operations=count + 1, others=0) * (count + 1)
    if fee > whole.max_fee:
        raise FeeCapExceededError(
            f"the bid of {fee} stroops exceeds the cap of {bid.max_fee} for each operation"
        )
    return fee


def _operation(payment: Payment, network: Network) -> bytes:
    return wire.payment(
        source=raw(payment.signer.address),
        destination=raw(payment.destination),
        asset=network.asset_xdr if payment.asset is Asset.KALE else wire.NATIVE,
        amount=payment.amount,
    )


def memo_key(address: str) -> str:
    """Return the base64 key of the data entry that says whether an account wants a memo."""
    return data_key(address, MEMO_ENTRY)


def wants_memo(entry: xdr.LedgerEntryData | None) -> bool:
    """Tell whether the data entry asks for a memo; an absent entry does not."""
    return entry is not None and entry.data is not None and entry.data.data_value.data_value == b"1"
