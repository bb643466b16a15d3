"""Data entries of the treasury's account: their keys, and the transactions that write them."""

from stellar_sdk import Account, StrKey, TransactionBuilder, xdr

from services.wallet.chain.build.onboarding import finish
from services.wallet.chain.networks import Network
from services.wallet.domain.bids import Bid
from services.wallet.domain.chain_facts import SignedEnvelope, Signer


def data_key(address: str, name: bytes) -> str:
    """Return the base64 key of a data entry."""
    account = xdr.AccountID(
        xdr.PublicKey(
            xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519,
            ed25519=xdr.Uint256(StrKey.decode_ed25519_public_key(address)),
        )
    )
    data = xdr.LedgerKeyData(account_id=account, data_name=xdr.String64(name))
    return xdr.LedgerKey(xdr.LedgerEntryType.DATA, data=data).to_xdr()


def sign_data_entry(
    name: str, value: bytes, *, treasury: Signer, sequence: int, network: Network, bid: Bid
) -> SignedEnvelope:
    """Sign a transaction of the treasury that gives its data entry this value."""
    builder = TransactionBuilder(
        Account(treasury.address, sequence - 1), network.passphrase, base_fee=bid.inclusion_fee
    )
    builder.add_time_bounds(0, bid.max_time)
    builder.append_manage_data_op(name, value)
    return finish(builder, [treasury], 1, bid)
