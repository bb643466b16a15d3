"""Writes the files that docker-compose.yml mounts: passwords, certificates, the wallet's key.

Usage: python scripts/make_secrets.py [FOLDER]; a folder that has secrets is left as it is, because
the database and the sealed keys go with them. Keep a copy of wallet_master_key: without it the
farmers' keys in the database cannot be opened. Certificates are valid for a year; to renew one:
kalepool certificates issue service plant --folder deploy/secrets/authority --out deploy/secrets
"""

import base64
import secrets
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from libs.common.authority import Authority, make_authority
from libs.common.grpc.identity import TRUST_DOMAIN, CallerKind
from libs.common.names import SERVICES
from services.migrations import role_of

DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "secrets"
#: Host and database as docker-compose.yml names them.
DATABASE = "postgres:5432/kalepool"
#: Days that certificates are valid.
DAYS = 365.0
#: AES-256.
MASTER_KEY_BYTES = 32


def secret_files(authority: Authority) -> dict[str, str]:
    """All files by name, freshly drawn."""
    admin = secrets.token_urlsafe(24)
    files = {
        "postgres_password": admin,
        "database_admin_url": f"postgresql://postgres:{admin}@{DATABASE}",
        "ca.pem": authority.certificate.public_bytes(Encoding.PEM).decode(),
        "wallet_master_key": base64.b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode(),
    }
    # Its DNS name is what counts: the services verify it.
    files |= _certificate(authority, "postgres")
    for service in SERVICES:
        password = secrets.token_urlsafe(24)
        files[f"{service}_db_password"] = password
        files[f"{service}_database_url"] = f"postgresql://{role_of(service)}:{password}@{DATABASE}"
        files |= _certificate(authority, service)
    return files


def _certificate(authority: Authority, name: str) -> dict[str, str]:
    issued = authority.issue(CallerKind.SERVICE, name, days=DAYS)
    return {f"{name}.pem": issued.certificate.decode(), f"{name}.key": issued.key.decode()}


def main(arguments: list[str]) -> int:
    """The command.

    The folder is closed to others; the files in it are not, since the containers' user, who is
    nobody on this machine, reads each of them through a mount of its own.
    """
    folder = Path(arguments[0]) if arguments else DEFAULT_FOLDER
    if folder.exists() and any(folder.iterdir()):
        sys.stdout.write(f"secrets: {folder} has some already; nothing changed\n")
        return 0
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    authority = make_authority(TRUST_DOMAIN)
    # For the operator's command, on this machine only.
    authority.save(folder / "authority")
    authority.issue(CallerKind.OPERATOR, "operator", days=DAYS).save(
        folder / "authority", "operator"
    )
    for name, text in secret_files(authority).items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o644)
    sys.stdout.write(f"secrets: written to {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
