"""Transactions that pay withdrawals: the treasury carries them, farmers' accounts pay."""

from collections.abc import Sequence
from dataclasses import dataclass

from stellar_sdk import Account, StrKey, TransactionBuilder, xdr
from stellar_sdk import Asset as ChainAsset

from services.wallet.chain.envelopes import Terms
from services.wallet.chain.model import SignedEnvelope, Signer
from services.wallet.chain.onboarding import finish, format_stroops
from services.wallet.domain.withdrawals import Asset

#: A transaction has at most 20 signatures: the treasury's and one per farmer.
MAX_PAYOUTS = 19
#: SEP-29: an account with this data entry, set to "1", wants a memo with every payment.
_MEMO_ENTRY = b"config.memo_required"


@dataclass(frozen=True, kw_only=True)
class Payment:
    """What one farmer's account pays."""

    #: The farmer's key.
    signer: Signer
    #: strkey G...
    destination: str
    #: What.
    asset: Asset
    #: In stroops.
    amount: int


def sign_payments(
    payments: Sequence[Payment],
    *,
    treasury: Signer,
    sequence: int,
    kale: ChainAsset,
    terms: Terms,
) -> SignedEnvelope:
    """One transaction of the treasury for up to 19 payments; all of it happens or nothing.

    The farmers' own sequence numbers stay free for their plants.
    """
    if not 1 <= len(payments) <= MAX_PAYOUTS:
        raise ValueError(f"1 to {MAX_PAYOUTS} payments fit, not {len(payments)}")
    builder = TransactionBuilder(
        Account(treasury.address, sequence - 1), terms.passphrase, base_fee=terms.inclusion_fee
    )
    builder.add_time_bounds(0, terms.max_time)
    for payment in payments:
        builder.append_payment_op(
            payment.destination,
            kale if payment.asset is Asset.KALE else ChainAsset.native(),
            format_stroops(payment.amount),
            source=payment.signer.address,
        )
    payers = {payment.signer.address: payment.signer for payment in payments}
    return finish(builder, [treasury, *payers.values()], len(payments), terms)


def memo_key(address: str) -> str:
    """Base64 of the key of the entry that says whether an account wants a memo."""
    account = xdr.AccountID(
        xdr.PublicKey(
            xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519,
            ed25519=xdr.Uint256(StrKey.decode_ed25519_public_key(address)),
        )
    )
    data = xdr.LedgerKeyData(account_id=account, data_name=xdr.String64(_MEMO_ENTRY))
    return xdr.LedgerKey(xdr.LedgerEntryType.DATA, data=data).to_xdr()


def wants_memo(entry: xdr.LedgerEntryData | None) -> bool:
    """What that entry says; an absent one says no."""
    return entry is not None and entry.data is not None and entry.data.data_value.data_value == b"1"
