"""A stream, encrypted to a key that only its keeper has; cut, reordered or changed, it is refused.

The cipher is X25519 with a fresh key for each file, HKDF-SHA-256, and AES-256-GCM chunk by chunk as
in the STREAM construction (https://eprint.iacr.org/2015/189): a chunk's nonce is its number and
whether it is the last one. No nonce repeats, as no two files have the same key.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: The first bytes of a file: its format and the format's version.
MAGIC = b"kalepool backup 1\n"
#: Bytes in clear of every chunk but the last.
CHUNK = 1 << 16
_KEY_BYTES = 32
_TAG_BYTES = 16


class BackupError(Exception):
    """A backup cannot be made, read or restored; the message says why."""


async def sealed(parts: AsyncIterable[bytes], receiver: X25519PublicKey) -> AsyncIterator[bytes]:
    """Yield the bytes of the sealed file, from parts of any size."""
    own = X25519PrivateKey.generate()
    header = MAGIC + own.public_key().public_bytes_raw()
    cipher = _cipher(own.exchange(receiver), header, receiver)
    yield header
    number, rest = 0, bytearray()
    async for part in parts:
        rest += part
        while len(rest) > CHUNK:  # never all of it: the last chunk has to be told apart
            yield cipher.encrypt(_nonce(number, last=False), bytes(rest[:CHUNK]), header)
            del rest[:CHUNK]
            number += 1
    yield cipher.encrypt(_nonce(number, last=True), bytes(rest), header)


def opened(file: BinaryIO, key: X25519PrivateKey) -> "Opened":
    """Open a sealed file as an iterator of its chunks.

    Raise BackupError when the file is no sealed file. A file for another key raises with its first
    chunk.
    """
    header = file.read(len(MAGIC) + _KEY_BYTES)
    if len(header) < len(MAGIC) + _KEY_BYTES or not header.startswith(MAGIC):
        raise BackupError("this is no backup of a pool")
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(header[len(MAGIC) :]))
    except ValueError as error:
        raise BackupError("the backup's header was changed") from error
    return Opened(file, _cipher(shared, header, key.public_key()), header)


class Opened:
    """The chunks of a sealed file.

    A chunk is authentic once it is returned; the whole file is once the last chunk is returned.
    """

    def __init__(self, file: BinaryIO, cipher: AESGCM, header: bytes) -> None:
        self._file = file
        self._cipher = cipher
        self._header = header
        self._number = 0

    def __iter__(self) -> "Opened":
        return self

    def __next__(self) -> bytes:
        """Return the next chunk in clear; raise BackupError when it is not what was written."""
        if self._number < 0:
            raise StopIteration
        chunk = self._file.read(CHUNK + _TAG_BYTES)
        is_last = len(chunk) < CHUNK + _TAG_BYTES or not self._has_more()
        try:
            clear = self._cipher.decrypt(_nonce(self._number, last=is_last), chunk, self._header)
        except (InvalidTag, ValueError) as error:
            raise BackupError(
                f"chunk {self._number} is not what was written, or the key is another one"
            ) from error
        self._number = -1 if is_last else self._number + 1
        return clear

    def _has_more(self) -> bool:
        found = self._file.read(1)
        if found:
            self._file.seek(-1, 1)
        return bool(found)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _cipher(shared: bytes, header: bytes, receiver: X25519PublicKey) -> AESGCM:
    salt = header[len(MAGIC) :] + receiver.public_bytes_raw()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=MAGIC).derive(shared))
