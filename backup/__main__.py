"""python -m backup keys|create|check|restore: encrypted backups of the pool's database.

DATABASE_ADMIN_URL (and DATABASE_CA_FILE) say where it is, as for the migration job. Whoever makes
backups needs the public key only; keep the private one elsewhere.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import asyncpg
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from backup.run import Manifest, check, create, restore
from backup.seal import BackupError
from libs.common.errors import PoolError
from libs.common.private_file import new_private_file
from libs.common.start import read_settings
from services.migrations import MigrationSettings

_RESTORED = (
    "restored; signing is paused until `kalepool custody resume --everything`: migrate, start the\n"
    "services and look at what waits before that (docs/backup.md)\n"
)


def main(arguments: list[str]) -> int:
    """Run the command; exit status 1 with one line on standard error when it cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        manifest = _run(options)
    except (BackupError, PoolError, OSError, ValueError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"backup: {error}\n")
        return 1
    if manifest is not None:
        _show(manifest, as_json=options.json)
    return 0


def _run(options: argparse.Namespace) -> Manifest | None:
    match options.command:
        case "keys":
            _make_keys(options.folder)
            return None
        case "create":
            admin = read_settings(MigrationSettings).admin()
            return asyncio.run(create(admin, _public(options.public_key), options.out))
        case "check":
            return check(options.file, _private(options.private_key))
        case _:
            admin = read_settings(MigrationSettings).admin()
            manifest = asyncio.run(restore(options.file, _private(options.private_key), admin))
            sys.stderr.write(_RESTORED)
            return manifest


def _show(manifest: Manifest, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(vars(manifest), sort_keys=True) + "\n")
        return
    lines = [f"{count:>12,}  {name}" for name, count in sorted(manifest.rows.items())]
    audit = f"audit log whole to record {manifest.audit_number}, {manifest.audit_hash}"
    beside = [f"look at this: {found}" for found in manifest.audit_findings]
    sys.stdout.write("\n".join((f"made at {manifest.made_at}", *lines, audit, *beside)) + "\n")


def _make_keys(folder: Path) -> None:
    """Make backup.key and backup.pub; raise FileExistsError when there are some."""
    folder.mkdir(parents=True, exist_ok=True)
    key = X25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with new_private_file(folder / "backup.key") as file:
        file.write(pem)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "backup.pub").write_bytes(public)
    sys.stderr.write(f"made {folder / 'backup.pub'}; keep {folder / 'backup.key'} elsewhere\n")


def _public(path: Path) -> X25519PublicKey:
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, X25519PublicKey):
        raise BackupError(f"{path} is no X25519 public key in PEM")
    return key


def _private(path: Path) -> X25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, X25519PrivateKey):
        raise BackupError(f"{path} is no X25519 private key in PEM")
    return key


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m backup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser("keys", help="make a pair of keys")
    keys.add_argument("folder", type=Path)
    make = commands.add_parser("create", help="write a backup")
    make.add_argument("out", type=Path, help="a file that is not there yet")
    make.add_argument("--public-key", type=Path, required=True)
    look = commands.add_parser("check", help="read a backup to its end, without a database")
    back = commands.add_parser("restore", help="bring a backup into an empty database")
    for command in (look, back):
        command.add_argument("file", type=Path)
        command.add_argument("--private-key", type=Path, required=True)
    for command in (make, look, back):
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
