"""Where the key-encryption key (KEK) lives: a small Protocol, and the file/environment provider."""

import base64
import binascii
import hashlib
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Bytes of a KEK and of a data key.
KEY_BYTES = 32
_NONCE_BYTES = 12


class KeyProviderError(Exception):
    """The provider cannot wrap or unwrap: wrong key, tampered bytes, or no such KEK."""


class MasterKeyError(ValueError):
    """A configured key is missing or malformed; the message says which and how, never the key."""


class KeyProvider(Protocol):
    """Wraps data keys under a KEK that never leaves it.

    `context` is authenticated, not stored: unwrapping needs the same bytes again. Methods are
    coroutines, since a provider may be a server (Vault transit, a KMS).
    """

    @property
    def kek_id(self) -> str:
        """Names the KEK that `wrap` uses now; stored beside each wrapped key."""
        ...

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """The data key, encrypted."""
        ...

    async def unwrap(self, wrapped: bytes, context: bytes, *, kek_id: str) -> bytes:
        """The data key again. Raises KeyProviderError for anything but what `wrap` gave."""
        ...


class LocalKeyProvider:
    """A KEK in this process's memory, given by a file or an environment variable: AES-256-GCM."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != KEY_BYTES:
            raise MasterKeyError(f"the master key must have {KEY_BYTES} bytes")
        self._cipher = AESGCM(master_key)
        # A name that tells two keys apart and tells nothing about either.
        self._kek_id = "local:" + hashlib.sha256(b"kalepool kek id" + master_key).hexdigest()[:16]

    def __repr__(self) -> str:
        """The name of the KEK only."""
        return f"LocalKeyProvider({self._kek_id})"

    @property
    def kek_id(self) -> str:
        """`local:` and 16 hex digits of a hash."""
        return self._kek_id

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Nonce, then ciphertext and tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data_key, context)

    async def unwrap(self, wrapped: bytes, context: bytes, *, kek_id: str) -> bytes:
        """The data key; KeyProviderError when another KEK wrapped it or a byte differs."""
        if kek_id != self._kek_id:
            raise KeyProviderError(f"wrapped by KEK {kek_id}, this is {self._kek_id}")
        try:
            return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise KeyProviderError("the wrapped data key is not authentic") from error


def load_master_key(*, value: str, file: Path | None) -> bytes:
    """The master key from MASTER_KEY or MASTER_KEY_FILE: base64 of 32 bytes, exactly one of them.

    Raises MasterKeyError; its message never has the key.
    """
    if bool(value) == (file is not None):
        raise MasterKeyError("set exactly one of MASTER_KEY and MASTER_KEY_FILE")
    if file is None:
        return _decode("MASTER_KEY", value)
    try:
        text = file.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise MasterKeyError(f"MASTER_KEY_FILE {file} cannot be read as text") from error
    return _decode("MASTER_KEY_FILE", text)


def _decode(name: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"{name} must be base64 of {KEY_BYTES} bytes")
    return key
