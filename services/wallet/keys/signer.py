"""A signer that holds one seed for a short time."""

from functools import lru_cache
from pathlib import Path

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair
from stellar_sdk import Keypair, StrKey

from services.wallet.keys.export import Parcel, wrap_parcel
from services.wallet.keys.provider import MasterKeyError

_SEED_BYTES = 32


class SignerWipedError(Exception):
    """A signer was used after it was wiped."""


class SeedSigner:
    """A signer with an ed25519 seed until the signer is wiped.

    It never shows the seed, whoever prints it.
    """

    __slots__ = ("_address", "_key")

    def __init__(self, seed: bytes) -> None:
        public_key, key = crypto_sign_seed_keypair(seed)
        #: The seed, then the public key.
        self._key: bytes | None = key
        self._address = _address(public_key)

    def __repr__(self) -> str:
        """Return the address only."""
        return f"SeedSigner({self._address})"

    def __reduce__(self) -> str:
        """Refuse to be pickled: a seed must not leave the process."""
        raise TypeError("a signer cannot be pickled")

    @property
    def address(self) -> str:
        """Return the key's address (strkey G...)."""
        return self._address

    def sign(self, payload: bytes) -> bytes:
        """Return the 64-byte signature of `payload`. Raises SignerWipedError after `wipe`."""
        if self._key is None:
            raise SignerWipedError(f"the signer of {self._address} was wiped")
        return crypto_sign(payload, self._key)[:crypto_sign_BYTES]

    def export(self, receiver_key: bytes) -> Parcel:
        """Return the seed (S...), encrypted to an X25519 key.

        Raises ValueError when `receiver_key` is no X25519 key.
        """
        if self._key is None:
            raise SignerWipedError(f"the signer of {self._address} was wiped")
        secret = StrKey.encode_ed25519_secret_seed(self._key[:_SEED_BYTES])
        return wrap_parcel(secret, address=self._address, receiver_key=receiver_key)

    def wipe(self) -> None:
        """Drop the seed. Python cannot overwrite it in place; nothing refers to it any more."""
        self._key = None


@lru_cache(maxsize=16_384)
def _address(public_key: bytes) -> str:
    """Encode a public key as an address. It is cached: the same keys sign in every block."""
    return str(StrKey.encode_ed25519_public_key(public_key))


def address_of(seed: bytes) -> str:
    """Return the address of a seed."""
    return SeedSigner(seed).address


def seed_of_secret(secret: str) -> bytes:
    """Return the 32 bytes of a secret seed (strkey S...). Raises ValueError when it is none."""
    try:
        return Keypair.from_secret(secret).raw_secret_key()
    except Exception:  # the SDK's own message would carry the secret
        raise ValueError("is not a secret seed (S...)") from None


def load_treasury_seed(file: Path | None) -> bytes | None:
    """Load the seed in TREASURY_SECRET_FILE (S...); None without a file.

    Raises MasterKeyError when the file is bad.
    """
    if file is None:
        return None
    try:
        return seed_of_secret(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        raise MasterKeyError(f"TREASURY_SECRET_FILE {file} has no secret seed (S...)") from None
