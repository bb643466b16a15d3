"""Messages that a Stellar account has signed (SEP-53), without an SDK.

What is signed is the SHA-256 of a prefix and the text, which no transaction's hash can be.
"""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from libs.kale.address import is_account, raw_key

_PREFIX = b"Stellar Signed Message:\n"
#: Bytes of a signature.
SIGNATURE_BYTES = 64


def message_hash(text: str) -> bytes:
    """Return what the account's key signs of a text."""
    return hashlib.sha256(_PREFIX + text.encode()).digest()


def is_signed_by(address: str, text: str, signature: bytes) -> bool:
    """Tell whether the key of an account (strkey G...) has signed a text."""
    if not is_account(address) or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(raw_key(address))
        key.verify(signature, message_hash(text))
    except (InvalidSignature, ValueError):
        return False
    return True
