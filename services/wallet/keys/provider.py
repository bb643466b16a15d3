"""The place of the key-encryption key (KEK): one small Protocol for every kind of provider."""

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
    """A data key under a KEK; of no use without the same KEK and the same context."""

    #: The KEK that wraps the key, in its provider's words: `local:...`, `vault:...`, `aws-kms:...`.
    kek_id: str
    #: The bytes that the provider gave.
    ciphertext: bytes = field(repr=False)
    #: The context that the key is bound to: the provider authenticates it; the ciphertext lacks it.
    context: bytes


class KeyProvider(Protocol):
    """A provider that wraps data keys under a KEK, which never leaves the provider.

    A provider may be a server (Vault transit, a KMS), hence coroutines. While it is away or refuses
    us, every coroutine raises KeysUnavailableError: the same call succeeds later.
    """

    @property
    def kind(self) -> str:
        """Return the name of the provider in KEY_PROVIDER: local, vault or aws-kms."""
        ...

    async def current_kek(self) -> str:
        """Return the id of the KEK that `wrap` uses now.

        Raises KeyProviderError when there is none.
        """
        ...

    def holds(self, kek_id: str) -> bool:
        """Tell whether keys that this KEK wraps may be opened here; no server is asked."""
        ...

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """Wrap a data key under the current KEK. Raises KeyProviderError."""
        ...

    async def unwrap(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        """Unwrap data keys, in order.

        A key that is not as `wrap` gave it has its error in its place. Many keys are unwrapped at a
        time, since a block's plants take a thousand.
        """
        ...


async def unwrap_one(provider: KeyProvider, key: WrappedKey) -> bytes:
    """Unwrap one data key. Raises KeyProviderError and KeysUnavailableError."""
    (found,) = await provider.unwrap([key])
    if isinstance(found, KeyProviderError):
        raise found
    return found
