"""Seeds sealed with AES-256-GCM, each under a data key of its own, which the KEK wraps.

The wallet id and address are authenticated with the seal and with the wrapped data key, so a sealed
key is of no use in another row.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.common.ids import WalletId
from services.wallet.keys.provider import KEY_BYTES, KeyProvider, KeyProviderError, WrappedKey
from services.wallet.keys.signer import SeedSigner, address_of

_NONCE_BYTES = 12
_SEED_BYTES = 32


class SealBrokenError(Exception):
    """A sealed key is not what was sealed for this wallet: tampered, swapped or corrupt."""


@dataclass(frozen=True, kw_only=True)
class SealedKey:
    """The form in which the database holds a key; useless without the KEK."""

    #: The wallet that the key is for.
    wallet_id: WalletId
    #: The key's address (strkey G...).
    address: str
    #: KEK that wraps the data key.
    kek_id: str
    #: The data key, wrapped.
    wrapped_data_key: bytes = field(repr=False)
    #: Nonce of the seal.
    nonce: bytes = field(repr=False)
    #: The seed, encrypted, with its tag.
    sealed_seed: bytes = field(repr=False)

    @property
    def wrapped(self) -> WrappedKey:
        """Return the data key in the form that the key provider takes."""
        return WrappedKey(
            kek_id=self.kek_id,
            ciphertext=self.wrapped_data_key,
            context=bound_context(self.wallet_id, self.address),
        )


async def seal_new_key(provider: KeyProvider, wallet_id: WalletId) -> SealedKey:
    """Make a fresh key and seal it; its seed exists in clear only within this call."""
    return await seal_seed(provider, wallet_id, secrets.token_bytes(_SEED_BYTES))


async def seal_seed(provider: KeyProvider, wallet_id: WalletId, seed: bytes) -> SealedKey:
    """Seal a seed of 32 bytes for a wallet."""
    address = address_of(seed)
    bound_to = bound_context(wallet_id, address)
    data_key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(_NONCE_BYTES)
    wrapped = await provider.wrap(data_key, bound_to)
    return SealedKey(
        wallet_id=wallet_id,
        address=address,
        kek_id=wrapped.kek_id,
        wrapped_data_key=wrapped.ciphertext,
        nonce=nonce,
        sealed_seed=AESGCM(data_key).encrypt(nonce, seed, bound_to),
    )


@asynccontextmanager
async def unsealed(
    provider: KeyProvider, keys: Sequence[SealedKey]
) -> AsyncIterator[list[SeedSigner]]:
    """Yield signers, in order, while the block runs; their seeds are dropped at the end.

    Either all keys open or none. For the first key that does not open, raises SealBrokenError or
    the provider's KeyProviderError. Raises KeysUnavailableError while the provider is away.
    """
    data_keys = await provider.unwrap([key.wrapped for key in keys])
    signers: list[SeedSigner] = []
    try:
        for key, data_key in zip(keys, data_keys, strict=True):
            signers.append(_signer(key, data_key))
        yield signers
    finally:
        for signer in signers:
            signer.wipe()


async def broken_keys(provider: KeyProvider, keys: Sequence[SealedKey]) -> set[WalletId]:
    """Return the wallets whose keys do not open; one such wallet must not stop the others."""
    data_keys = await provider.unwrap([key.wrapped for key in keys])
    broken: set[WalletId] = set()
    for key, data_key in zip(keys, data_keys, strict=True):
        try:
            _signer(key, data_key).wipe()
        except (SealBrokenError, KeyProviderError):
            broken.add(key.wallet_id)
    return broken


async def open_seed(provider: KeyProvider, key: SealedKey) -> bytes:
    """Return one seed in clear, for checks of what may not be written anywhere.

    Raises the errors of `unsealed`.
    """
    (data_key,) = await provider.unwrap([key.wrapped])
    return _seed(key, data_key)


def _seed(key: SealedKey, data_key: bytes | KeyProviderError) -> bytes:
    if isinstance(data_key, KeyProviderError):
        raise KeyProviderError(f"wallet {key.wallet_id}: {data_key}") from data_key
    bound_to = bound_context(key.wallet_id, key.address)
    try:
        return AESGCM(data_key).decrypt(key.nonce, key.sealed_seed, bound_to)
    except (InvalidTag, ValueError) as error:
        raise SealBrokenError(f"the sealed key of wallet {key.wallet_id} is broken") from error


def _signer(key: SealedKey, data_key: bytes | KeyProviderError) -> SeedSigner:
    signer = SeedSigner(_seed(key, data_key))
    if signer.address != key.address:
        raise SealBrokenError(f"the sealed key of wallet {key.wallet_id} has another address")
    return signer


def bound_context(wallet_id: WalletId, address: str) -> bytes:
    """Return the wallet id and address as the bytes that seal and wrapped data key are bound to."""
    # The id has a fixed length, so no two pairs give the same bytes.
    return b"kalepool wallet key 1|" + wallet_id.bytes + b"|" + address.encode()
