"""Export of a secret seed to its owner: encrypted to a key that only the receiver has."""

import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_INFO = b"kalepool key export 1"
_NONCE_BYTES = 12


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """The encrypted seed that leaves the pool; see ExportKeyResponse in custody.proto."""

    #: X25519 public key made for this parcel, 32 bytes.
    sender_key: bytes
    #: Nonce, 12 bytes.
    nonce: bytes
    #: The seed, encrypted, with its tag.
    ciphertext: bytes


def wrap_parcel(secret: str, *, address: str, receiver_key: bytes) -> Parcel:
    """Encrypt a seed (strkey S...) of an address.

    Raises ValueError when `receiver_key` is no X25519 key.
    """
    own = X25519PrivateKey.generate()
    sender_key = own.public_key().public_bytes_raw()
    shared = own.exchange(X25519PublicKey.from_public_bytes(receiver_key))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    cipher = ChaCha20Poly1305(_derive(shared, sender_key + receiver_key))
    return Parcel(
        sender_key=sender_key,
        nonce=nonce,
        ciphertext=cipher.encrypt(nonce, secret.encode(), address.encode()),
    )


def _derive(shared: bytes, salt: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=_INFO).derive(shared)
