"""The credential that joining gave: a file of the user's own for each pooler and address."""

import json
import os
import tempfile
from hashlib import sha256
from pathlib import Path

import platformdirs

from miner.model import MinerError


class CredentialFileError(MinerError):
    """The file with the credential cannot be used."""


def default_file(url: str, address: str) -> Path:
    """Return where the credential for a pooler and an address is kept."""
    folder = Path(platformdirs.user_config_dir("kalepool", appauthor=False)) / "miners"
    return folder / f"{sha256(f'{url} {address}'.encode()).hexdigest()[:16]}.json"


def read(path: Path) -> str | None:
    """Return the credential in a file; None without a file. Raise CredentialFileError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CredentialFileError(f"{path}: {error}") from error
    credential = content.get("credential") if isinstance(content, dict) else None
    if not isinstance(credential, str) or not credential:
        raise CredentialFileError(f"{path}: has no credential")
    return credential


def prepare(path: Path) -> None:
    """Make the folder of a file that is to be kept, and see that it takes files.

    Raise CredentialFileError: a credential is told once, so nobody joins who cannot keep it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise CredentialFileError(f"{path}: {error}") from error


def keep(path: Path, *, url: str, address: str, credential: str) -> None:
    """Write a file that its owner alone can read, whole or not at all.

    The folder is there (prepare). Raise CredentialFileError.
    """
    content = {"url": url, "address": address, "credential": credential}
    try:
        number, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(name).replace(path)
    except OSError as error:
        raise CredentialFileError(f"{path}: {error}") from error
