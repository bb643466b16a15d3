"""Challenges of logins as accounts sign them, and who signs for an account."""

from stellar_sdk import Keypair, TransactionEnvelope

from services.wallet.chain import network_for
from services.wallet.domain.logins import AccountSigners, LoginTerms

TERMS = LoginTerms(home_domain="pool.example", web_auth_domain="auth.pool.example", seconds=3600)
NETWORK = network_for("localnet")
FARMER, OTHER, THIRD = (Keypair.from_raw_ed25519_seed(bytes([number]) * 32) for number in (1, 2, 3))


def signed(transaction: str, *keys: Keypair, passphrase: str = NETWORK.passphrase) -> str:
    """Return an envelope with the signatures of these keys, too."""
    envelope = TransactionEnvelope.from_xdr(transaction, passphrase)
    # Not by the SDK's own way, which signs nothing twice.
    envelope.signatures += [key.sign_decorated(envelope.hash()) for key in keys]
    return envelope.to_xdr()


def signers(medium: int = 1, **weights: int) -> AccountSigners:
    """Return who signs for the farmer: own, other and third have these weights."""
    names = {"own": FARMER, "other": OTHER, "third": THIRD}
    return AccountSigners(
        address=FARMER.public_key,
        weights={names[name].public_key: weight for name, weight in weights.items()},
        medium=medium,
    )
