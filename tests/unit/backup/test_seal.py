"""A sealed stream gives back what was put in, or nothing that was tampered with."""

import asyncio
import io
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from backup import seal
from backup.seal import CHUNK, MAGIC, BackupError, opened, sealed

KEY = X25519PrivateKey.generate()
WHOLE = CHUNK + 16
HEADER = len(MAGIC) + 32

#: Around the places where a chunk begins or ends.
sizes = st.one_of(
    st.integers(0, 100), st.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7])
)


def seal_all(*parts: bytes) -> bytes:
    """A sealed file's bytes."""

    async def given_parts() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def collect() -> bytes:
        return b"".join([part async for part in sealed(given_parts(), KEY.public_key())])

    return asyncio.run(collect())


def open_all(data: bytes, key: X25519PrivateKey = KEY) -> bytes:
    """What is in it."""
    return b"".join(opened(io.BytesIO(data), key))


@given(st.lists(sizes, max_size=4), st.integers(0, 255))
@settings(deadline=None)
def test_what_was_put_in_comes_out(lengths: list[int], fill: int) -> None:
    parts = [bytes([fill + number & 255]) * length for number, length in enumerate(lengths)]
    file = seal_all(*parts)
    assert open_all(file) == b"".join(parts)
    assert all(len(part) < 32 or part not in file for part in parts)


@given(st.data(), sizes)
@settings(deadline=None)
def test_a_changed_byte_is_found(data: st.DataObject, size: int) -> None:
    file = bytearray(seal_all(b"x" * size))
    place = data.draw(st.integers(0, len(file) - 1))
    file[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BackupError):
        open_all(bytes(file))


@given(st.data(), sizes)
@settings(deadline=None)
def test_a_cut_file_is_found(data: st.DataObject, size: int) -> None:
    file = seal_all(b"x" * size)
    with pytest.raises(BackupError):
        open_all(file[: data.draw(st.integers(0, len(file) - 1))])
    with pytest.raises(BackupError):
        open_all(file + b"x")


def test_chunks_have_their_places() -> None:
    file = seal_all(b"a" * CHUNK + b"b" * CHUNK + b"c")
    header, chunks = file[:HEADER], file[HEADER:]
    one, two, last = chunks[:WHOLE], chunks[WHOLE : 2 * WHOLE], chunks[2 * WHOLE :]
    assert open_all(header + one + two + last) == b"a" * CHUNK + b"b" * CHUNK + b"c"
    for order in ([two, one, last], [one, last], [one, two], [one, two, two, last], [last]):
        with pytest.raises(BackupError):
            open_all(header + b"".join(order))
    # Nor can a chunk of another file take a place.
    other = seal_all(b"a" * CHUNK + b"z")
    with pytest.raises(BackupError):
        open_all(header + other[HEADER : HEADER + WHOLE] + two + last)


def test_only_the_key_opens_it() -> None:
    file = seal_all(b"secret")
    with pytest.raises(BackupError, match="the key is another one"):
        open_all(file, X25519PrivateKey.generate())
    with pytest.raises(BackupError, match="no backup"):
        open_all(b"PGDMP" + bytes(100))
    with pytest.raises(BackupError, match="header"):
        open_all(MAGIC + bytes(100))
    assert seal_all(b"secret") != file
    assert seal.CHUNK == CHUNK
