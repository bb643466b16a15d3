"""Where the key-encryption key (KEK) lives: one small Protocol for every kind of provider."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: Bytes of a KEK and of a data key.
KEY_BYTES = 32


class KeyProviderError(Exception):
    """The provider cannot wrap or unwrap: wrong key, tampered bytes, or no such KEK."""


class MasterKeyError(ValueError):
    """A configured key is missing or malformed; the message says which and how, never the key."""


@dataclass(frozen=True, kw_only=True)
class WrappedKey:
    """A data key under a KEK; of no use to who has not that KEK, or not the same context."""

    #: The KEK that wraps it, in the words of its provider: `local:...`, `vault:...`, `aws-kms:...`.
    kek_id: str
    #: What the provider gave.
    ciphertext: bytes = field(repr=False)
    #: What it is bound to: authenticated by the provider, and not part of the ciphertext.
    context: bytes


class KeyProvider(Protocol):
    """Wraps data keys under a KEK that never leaves it.

    A provider may be a server (Vault transit, a KMS), hence coroutines. While it is away or refuses
    us, every one of them raises KeysUnavailableError: the same call succeeds later.
    """

    @property
    def kind(self) -> str:
        """What KEY_PROVIDER calls it: local, vault or aws-kms."""
        ...

    async def current_kek(self) -> str:
        """Id of the KEK that `wrap` uses now. Raises KeyProviderError when there is none."""
        ...

    def holds(self, kek_id: str) -> bool:
        """Whether what this KEK wraps may be opened here; asks nobody."""
        ...

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """The data key, wrapped under the current KEK. Raises KeyProviderError."""
        ...

    async def unwrap(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        """The data keys, in order; what is not as `wrap` gave it has its error in its place.

        Many at a time, since a block's plants take a thousand.
        """
        ...


async def unwrap_one(provider: KeyProvider, key: WrappedKey) -> bytes:
    """The data key of one. Raises KeyProviderError, KeysUnavailableError."""
    (found,) = await provider.unwrap([key])
    if isinstance(found, KeyProviderError):
        raise found
    return found
