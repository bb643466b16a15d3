"""A search for secrets where none may be: in all that a pool wrote and in process arguments."""

import asyncio
import base64
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

import asyncpg
from stellar_sdk import StrKey

from devstack.stack import Stack
from libs.common.ids import WalletId
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import SealedKey, open_seed

#: Bytes of a word of the search, and distance from one searched word to the next.
_WORD, _STEP = 8, 16
#: Bytes of a file that are read at once.
_PIECE = 1 << 26
_KEYS = """
SELECT k.wallet_id, w.address, k.kek_id, k.wrapped_data_key, k.nonce, k.sealed_seed
FROM wallet.sealed_keys AS k JOIN wallet.wallets AS w ON w.id = k.wallet_id
"""


async def canaries(stack: Stack) -> dict[str, bytes]:
    """Return every secret of a running pool, in every form that could be written, by name."""
    found: dict[str, bytes] = {}
    for name, value in stack.secrets().items():
        found[name] = value.encode()
    found["password of the superuser"] = unquote(urlsplit(stack.admin_dsn).password or "").encode()
    master_key = base64.b64decode(stack.secrets()["master key"])
    found |= _forms("master key", master_key)
    provider = LocalKeyProvider(master_key)
    for sealed in await _sealed(stack):
        seed = await open_seed(provider, sealed)
        found |= _forms(f"seed of {sealed.address}", seed)
        strkey = StrKey.encode_ed25519_secret_seed(seed).encode()
        found[f"seed of {sealed.address}, strkey"] = strkey
        (data_key,) = await provider.unwrap([sealed.wrapped])
        if isinstance(data_key, bytes):  # else the seed did not open, which has been raised
            found |= _forms(f"data key of {sealed.address}", data_key)
    return found


def _forms(name: str, secret: bytes) -> dict[str, bytes]:
    return {
        f"{name}, raw": secret,
        f"{name}, hex": secret.hex().encode(),
        f"{name}, base64": base64.b64encode(secret),
        f"{name}, as Python shows it": repr(secret)[2:-1].encode(),
    }


async def seed_of(stack: Stack, address: str) -> bytes:
    """Return the seed of an account of a running pool, as its owner has it after an export."""
    provider = LocalKeyProvider(base64.b64decode(stack.secrets()["master key"]))
    (sealed,) = [item for item in await _sealed(stack) if item.address == address]
    return await open_seed(provider, sealed)


async def _sealed(stack: Stack) -> list[SealedKey]:
    connection = await asyncpg.connect(stack.admin_dsn)
    try:
        rows = await connection.fetch(_KEYS)
    finally:
        await connection.close()
    return [SealedKey(**{**dict(row), "wallet_id": WalletId(row["wallet_id"])}) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Search:
    """The secrets that were looked for, the places, and the findings."""

    #: Secrets, in each form that was looked for.
    canaries: int
    #: Files read.
    files: int
    #: Bytes of the files read.
    size: int
    #: Places where a secret is in clear.
    leaks: Sequence[str]


async def flush(stack: Stack) -> None:
    """Let PostgreSQL write what it still holds in memory, so that its files are complete."""
    connection = await asyncpg.connect(stack.admin_dsn)
    try:
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def search_all(stack: Stack, more: Mapping[str, str] = MappingProxyType({})) -> Search:
    """Look for every secret of a running pool, and for more, in all that the pool has written."""
    secrets = await canaries(stack) | {name: text.encode() for name, text in more.items()}
    await flush(stack)
    homes = [stack.config.postgres_home] if stack.config.postgres_home else []
    return await asyncio.to_thread(search, secrets, stack.config.directory, *homes)


def search(secrets: Mapping[str, bytes], *directories: Path) -> Search:
    """Look for secrets in all files below some folders, and in the arguments of all processes."""
    needles, files, size, found = _Needles(secrets), 0, 0, list[str]()
    for directory, path in ((top, path) for top in directories for path in _files(top)):
        with suppress(FileNotFoundError):  # PostgreSQL runs on, and removes old files
            files, size = files + 1, size + path.stat().st_size
            names = {name for piece in _pieces(path, needles) for name in needles.within(piece)}
            found += [f"{name} in {path.relative_to(directory)}" for name in sorted(names)]
    found += [f"{name} in arguments" for name in needles.within(_arguments())]
    return Search(canaries=len(secrets), files=files, size=size, leaks=found)


class _Needles:
    """Thousands of secrets that are looked for at once.

    The content is cut into words of 8 bytes, of which every other one is looked up: a secret of 23
    bytes or more covers one of these words wherever the secret begins. Only a hit is compared in
    full.
    """

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._secrets = secrets
        #: Bytes of the longest secret.
        self.longest = max(map(len, secrets.values()), default=1)
        #: Names of secrets by each word that may be found first.
        self._by_word: defaultdict[int, set[str]] = defaultdict(set)
        #: Secrets that are too short for a search by words.
        self._short = [name for name, value in secrets.items() if len(value) < _STEP + _WORD - 1]
        for name in secrets.keys() - set(self._short):
            for start in range(_STEP):
                word = secrets[name][start : start + _WORD]
                self._by_word[int.from_bytes(word, sys.byteorder)].add(name)

    def within(self, content: bytes) -> list[str]:
        """Return the names of the secrets that the content has."""
        words = memoryview(content)[: len(content) // _WORD * _WORD].cast("Q")[:: _STEP // _WORD]
        hits = self._by_word.keys() & words
        candidates = {name for word in hits for name in self._by_word[word]}
        return sorted(
            name for name in candidates.union(self._short) if self._secrets[name] in content
        )


def _files(directory: Path) -> Iterator[Path]:
    """Yield all files below a folder, and below linked folders: PostgreSQL's may be elsewhere."""
    for folder, inner, names in os.walk(directory, followlinks=True):
        inner.sort()
        for path in (Path(folder) / name for name in sorted(names)):
            if path.is_file():
                yield path


def _pieces(path: Path, needles: _Needles) -> Iterator[bytes]:
    """Yield a file in pieces that overlap, so that one of them has the longest secret whole."""
    with path.open("rb") as file:
        piece = file.read(_PIECE)
        while piece:
            yield piece
            more = file.read(_PIECE)
            piece = more and piece[-needles.longest :] + more


def _arguments() -> bytes:
    return subprocess.run(
        ["ps", "-A", "-ww", "-o", "args="],  # noqa: S607
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout
