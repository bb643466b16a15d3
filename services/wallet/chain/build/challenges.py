"""Challenges of logins (SEP-10): transactions that no ledger takes, as their number is 0."""

import base64

from stellar_sdk import Account, Keypair, TransactionBuilder
from stellar_sdk.decorated_signature import DecoratedSignature

from services.wallet.chain.networks import Network
from services.wallet.domain.bids import MIN_INCLUSION_FEE
from services.wallet.domain.chain_facts import Signer
from services.wallet.domain.logins import LoginTerms

#: Random bytes of a challenge; in base64 they fill a data entry.
NONCE_BYTES = 48


def sign_challenge(
    account: str,
    *,
    signer: Signer,
    terms: LoginTerms,
    network: Network,
    begins: int,
    ends: int,
    nonce: bytes,
) -> str:
    """Return the envelope (base64) that an account is to sign; times are unix times (s)."""
    # The builder takes the account's next number, which is 0.
    builder = TransactionBuilder(
        Account(signer.address, -1), network.passphrase, base_fee=MIN_INCLUSION_FEE
    )
    builder.add_time_bounds(begins, ends)
    builder.append_manage_data_op(
        f"{terms.home_domain} auth", base64.b64encode(nonce), source=account
    )
    builder.append_manage_data_op(
        "web_auth_domain", terms.web_auth_domain.encode(), source=signer.address
    )
    envelope = builder.build()
    hint = Keypair.from_public_key(signer.address).signature_hint()
    envelope.signatures.append(DecoratedSignature(hint, signer.sign(envelope.hash())))
    return envelope.to_xdr()
