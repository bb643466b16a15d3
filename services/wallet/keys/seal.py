"""Seeds sealed with AES-256-GCM under a data key of their own, which the KEK wraps.

Wallet id and address are authenticated with both, so a sealed key is of no use in another row.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.common.ids import WalletId
from services.wallet.keys.provider import KEY_BYTES, KeyProvider
from services.wallet.keys.signer import SeedSigner, address_of

_NONCE_BYTES = 12
_SEED_BYTES = 32


class SealBrokenError(Exception):
    """A sealed key is not what was sealed for this wallet: tampered, swapped or corrupt."""


@dataclass(frozen=True, kw_only=True)
class SealedKey:
    """What the database holds of a key; useless without the KEK."""

    #: The wallet that it is for.
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


async def seal_new_key(provider: KeyProvider, wallet_id: WalletId) -> SealedKey:
    """Makes a fresh key and seals it; its seed exists in clear only within this call."""
    return await seal_seed(provider, wallet_id, secrets.token_bytes(_SEED_BYTES))


async def seal_seed(provider: KeyProvider, wallet_id: WalletId, seed: bytes) -> SealedKey:
    """Seals a seed of 32 bytes for a wallet."""
    address = address_of(seed)
    bound_to = _associated_data(wallet_id, address)
    data_key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(_NONCE_BYTES)
    return SealedKey(
        wallet_id=wallet_id,
        address=address,
        kek_id=provider.kek_id,
        wrapped_data_key=await provider.wrap(data_key, bound_to),
        nonce=nonce,
        sealed_seed=AESGCM(data_key).encrypt(nonce, seed, bound_to),
    )


@asynccontextmanager
async def unsealed(provider: KeyProvider, sealed: SealedKey) -> AsyncIterator[SeedSigner]:
    """A signer for as long as the block runs; its seed is dropped at the end.

    Raises SealBrokenError, or the provider's KeyProviderError.
    """
    bound_to = _associated_data(sealed.wallet_id, sealed.address)
    data_key = await provider.unwrap(sealed.wrapped_data_key, bound_to, kek_id=sealed.kek_id)
    try:
        seed = AESGCM(data_key).decrypt(sealed.nonce, sealed.sealed_seed, bound_to)
    except (InvalidTag, ValueError) as error:
        raise SealBrokenError(f"the sealed key of wallet {sealed.wallet_id} is broken") from error
    signer = SeedSigner(seed)
    if signer.address != sealed.address:
        raise SealBrokenError(f"the sealed key of wallet {sealed.wallet_id} has another address")
    try:
        yield signer
    finally:
        signer.wipe()


def _associated_data(wallet_id: WalletId, address: str) -> bytes:
    # The id has a fixed length, so no two pairs give the same bytes.
    return b"kalepool wallet key 1|" + wallet_id.bytes + b"|" + address.encode()
