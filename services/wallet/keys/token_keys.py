"""Keys that sign access tokens: Ed25519, sealed by the key provider like the keys of rows."""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from libs.common.grpc.tokens import LIFE
from services.wallet.keys.provider import (
    KEY_BYTES,
    KeyProvider,
    KeyProviderError,
    WrappedKey,
    unwrap_one,
)
from services.wallet.keys.signer import SeedSigner

#: Seconds after which a new key signs: by then every service has been told of it.
SIGNS_AFTER = 120.0
#: Seconds after which the key before counts no more: what it has signed has ended by then.
ENDS_AFTER = SIGNS_AFTER + LIFE + 60.0
_ID_BYTES = 12
#: What a login key is derived for.
_LOGIN = b"kalepool login key 1"


@dataclass(frozen=True, kw_only=True)
class SealedTokenKey:
    """A key as the database holds it; useless without the KEK."""

    #: From 1 on.
    number: int
    #: KEK that wraps the key.
    kek_id: str
    #: The key's 32 bytes, wrapped.
    wrapped_key: bytes = field(repr=False)
    #: Seconds since the key was made.
    age: float = field(default=0.0, compare=False)

    @property
    def wrapped(self) -> WrappedKey:
        """Return the key in the form that the key provider takes."""
        return WrappedKey(
            kek_id=self.kek_id, ciphertext=self.wrapped_key, context=_context(self.number)
        )


@dataclass(frozen=True, kw_only=True)
class ReplacedKey:
    """Wallet's own record that a key was made in place of older ones."""

    #: Number of the new key.
    number: int
    #: Seconds since then.
    age: float


@dataclass(frozen=True, kw_only=True)
class TokenKey:
    """A key that is open."""

    #: Its number.
    number: int
    #: The name that tokens call it by; it follows from the key.
    key_id: str
    public: Ed25519PublicKey
    private: Ed25519PrivateKey = field(repr=False)


def _context(number: int) -> bytes:
    """Return the bytes that a wrapped key is bound to."""
    return b"kalepool token key 1|%d" % number


async def seal_token_key(provider: KeyProvider, number: int) -> SealedTokenKey:
    """Make a fresh key and seal it."""
    return await _sealed(provider, secrets.token_bytes(KEY_BYTES), number)


async def reseal_token_key(provider: KeyProvider, sealed: SealedTokenKey) -> SealedTokenKey:
    """Wrap a key under the current KEK.

    Raises KeyProviderError when it does not open, or the new wrapping does not.
    """
    key = await unwrap_one(provider, sealed.wrapped)
    resealed = await _sealed(provider, key, sealed.number)
    if await unwrap_one(provider, resealed.wrapped) != key:
        raise KeyProviderError(f"KEK {resealed.kek_id} gives back another key of tokens")
    return resealed


async def _sealed(provider: KeyProvider, key: bytes, number: int) -> SealedTokenKey:
    wrapped = await provider.wrap(key, _context(number))
    return SealedTokenKey(number=number, kek_id=wrapped.kek_id, wrapped_key=wrapped.ciphertext)


async def open_token_keys(
    provider: KeyProvider, sealed: Sequence[SealedTokenKey]
) -> list[TokenKey | KeyProviderError]:
    """Open keys, in order; a key that does not open has its error in its place."""
    found = await provider.unwrap([item.wrapped for item in sealed])
    return [
        key if isinstance(key, KeyProviderError) else _opened(item.number, key)
        for item, key in zip(sealed, found, strict=True)
    ]


def _opened(number: int, seed: bytes) -> TokenKey:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key()
    digest = hashlib.sha256(public.public_bytes_raw()).digest()[:_ID_BYTES]
    key_id = urlsafe_b64encode(digest).decode()
    return TokenKey(number=number, key_id=key_id, public=public, private=private)


def login_signer(key: TokenKey) -> SeedSigner:
    """Return what signs challenges of logins (SEP-10) for as long as a key of tokens counts.

    Its seed follows from that key's, so that it is sealed, turned, found again and replaced with
    it. As an account it holds nothing; it signs nothing else.
    """
    kdf = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=_LOGIN)
    return SeedSigner(kdf.derive(key.private.private_bytes_raw()))


def signing(keys: Sequence[tuple[TokenKey, float]]) -> TokenKey:
    """Return the key that signs, of keys by their numbers with their ages (s); there is one."""
    known = [key for key, age in keys if age >= SIGNS_AFTER]
    return known[-1] if known else keys[0][0]


def counting(keys: Sequence[tuple[TokenKey, float]]) -> list[TokenKey]:
    """Return the keys whose signatures count, or will soon, by their numbers.

    These are the key that signs, those that follow it, and the one before it for as long as
    something may live that it has signed.
    """
    followers = [age for _, age in keys[1:]] + [0.0]
    return [
        key for (key, _), follower in zip(keys, followers, strict=True) if follower < ENDS_AFTER
    ]


def least_of(replaced: Sequence[ReplacedKey]) -> int:
    """Return the lowest number that still counts, whichever keys are there and open.

    Whoever spoils the newest key would else have one sign again that was replaced, perhaps because
    it was stolen.
    """
    return max((one.number for one in replaced if one.age >= ENDS_AFTER), default=1)
