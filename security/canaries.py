"""Looks for secrets where none may be: in all that a pool wrote, and in processes' arguments."""

import base64
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
from stellar_sdk import StrKey

from demo.stack import Stack
from libs.common.ids import WalletId
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import SealedKey, open_seed

_KEYS = """
SELECT k.wallet_id, w.address, k.kek_id, k.wrapped_data_key, k.nonce, k.sealed_seed
FROM wallet.sealed_keys AS k JOIN wallet.wallets AS w ON w.id = k.wallet_id
"""


async def canaries(stack: Stack) -> dict[str, bytes]:
    """Every secret of a running pool, in every form that it could be written in, by name."""
    found: dict[str, bytes] = {}
    for name, value in stack.secrets().items():
        found[name] = value.encode()
    master_key = base64.b64decode(stack.secrets()["master key"])
    found |= _forms("master key", master_key)
    for address, seed in (await _seeds(stack, LocalKeyProvider(master_key))).items():
        found |= _forms(f"seed of {address}", seed)
        found[f"seed of {address}, strkey"] = StrKey.encode_ed25519_secret_seed(seed).encode()
    return found


def _forms(name: str, secret: bytes) -> dict[str, bytes]:
    return {
        f"{name}, raw": secret,
        f"{name}, hex": secret.hex().encode(),
        f"{name}, base64": base64.b64encode(secret),
        f"{name}, as Python shows it": repr(secret)[2:-1].encode(),
    }


async def _seeds(stack: Stack, provider: LocalKeyProvider) -> dict[str, bytes]:
    connection = await asyncpg.connect(stack.admin_dsn)
    try:
        rows = await connection.fetch(_KEYS)
    finally:
        await connection.close()
    found = {}
    for row in rows:
        sealed = SealedKey(**{**dict(row), "wallet_id": WalletId(row["wallet_id"])})
        found[row["address"]] = await open_seed(provider, sealed)
    return found


def leaks(secrets: Mapping[str, bytes], directory: Path) -> Iterator[str]:
    """Where a secret is in clear: files below a folder, and the arguments of processes."""
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        content = path.read_bytes()
        yield from (f"{name} in {path.name}" for name, value in secrets.items() if value in content)
    arguments = subprocess.run(
        ["ps", "-A", "-o", "args="],  # noqa: S607
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout
    yield from (f"{name} in arguments" for name, value in secrets.items() if value in arguments)
