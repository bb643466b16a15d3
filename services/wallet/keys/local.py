"""KEKs in this process's memory, given by files or an environment variable: AES-256-GCM."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.wallet.keys.provider import (
    KEY_BYTES,
    KeyProviderError,
    MasterKeyError,
    WrappedKey,
)

_NONCE_BYTES = 12


class LocalKeyProvider:
    """One KEK that wraps, and any number of others that only open what they wrapped."""

    kind = "local"

    def __init__(self, master_key: bytes, *previous: bytes) -> None:
        self._kek_id = _kek_id(master_key)
        self._ciphers = {_kek_id(key): AESGCM(key) for key in (master_key, *previous)}

    def __repr__(self) -> str:
        """Return the names of the KEKs only."""
        return f"LocalKeyProvider({', '.join(self._ciphers)})"

    async def current_kek(self) -> str:
        """Return `local:` and 16 hex digits of a hash."""
        return self._kek_id

    def holds(self, kek_id: str) -> bool:
        """Tell whether the KEK is one of the given keys."""
        return kek_id in self._ciphers

    async def wrap(self, data_key: bytes, context: bytes) -> WrappedKey:
        """Wrap a data key; the ciphertext is the nonce, then the encrypted key and its tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = nonce + self._ciphers[self._kek_id].encrypt(nonce, data_key, context)
        return WrappedKey(kek_id=self._kek_id, ciphertext=ciphertext, context=context)

    async def unwrap(self, keys: Sequence[WrappedKey]) -> list[bytes | KeyProviderError]:
        """Unwrap data keys.

        An error stands in the place of a key when none of the KEKs fits, or when a byte differs.
        """
        return [self._open(key) for key in keys]

    def _open(self, key: WrappedKey) -> bytes | KeyProviderError:
        cipher, sealed = self._ciphers.get(key.kek_id), key.ciphertext
        if cipher is None:
            return KeyProviderError(f"wrapped by KEK {key.kek_id}, which was not given to us")
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key.context)
        except (InvalidTag, ValueError):
            return KeyProviderError("the wrapped data key is not authentic")


def _kek_id(key: bytes) -> str:
    """Return a name that tells two keys apart and tells nothing about either."""
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"a master key must have {KEY_BYTES} bytes")
    return "local:" + hashlib.sha256(b"kalepool kek id" + key).hexdigest()[:16]


def load_master_key(*, value: str, file: Path | None) -> bytes:
    """Load the master key from MASTER_KEY or MASTER_KEY_FILE, of which exactly one must be set.

    The value is base64 of 32 bytes. Raises MasterKeyError; its message never has the key.
    """
    if bool(value) == (file is not None):
        raise MasterKeyError("set exactly one of MASTER_KEY and MASTER_KEY_FILE")
    return _decode("MASTER_KEY", value) if file is None else _load("MASTER_KEY_FILE", file)


def load_previous_keys(files: Sequence[Path]) -> list[bytes]:
    """Load the keys of MASTER_KEY_PREVIOUS_FILES. Raises MasterKeyError."""
    return [_load("MASTER_KEY_PREVIOUS_FILES", file) for file in files]


def _load(name: str, file: Path) -> bytes:
    try:
        text = file.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise MasterKeyError(f"{name}: {file} cannot be read as text") from error
    return _decode(name, text)


def _decode(name: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"{name} must be base64 of {KEY_BYTES} bytes")
    return key
