"""Writes the files that docker-compose.yml mounts: passwords, certificates, the wallet's key.

A folder that has secrets is left as it is, because the database and the sealed keys go with them.
Keep a copy of wallet_master_key: without it the farmers' keys in the database cannot be opened.
Certificates are valid for a year. --renew writes new ones over them, adds what a folder from before
lacks, and touches nothing else: the services take them up while they run, PostgreSQL with `docker
compose restart postgres`.
"""

import argparse
import base64
import secrets
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from libs.common.authority import PARTS, Authority, Issued, load_authority, make_authority
from libs.common.grpc.identity import TRUST_DOMAIN, CallerKind
from libs.common.names import SERVICES
from services.migrations import role_of

DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "secrets"
#: Host and database as docker-compose.yml names them.
DATABASE = "postgres:5432/kalepool"
#: Folder of the authority and of the operator's certificate, in that of the secrets.
AUTHORITY = "authority"
#: Folder for further files that only wallet sees: previous keys, the treasury's seed, a token.
WALLET = "wallet"
#: Name of the operator who runs the pool.
OPERATOR = "operator"
#: Days that certificates are valid.
DAYS = 365.0
#: AES-256.
MASTER_KEY_BYTES = 32
#: Keys that came later, which folders from before lack: what webhooks' secrets are made from, and
#: what gateways seal people's sessions with.
LATER_KEYS = ("webhook_key", "gateway_session_key")
LATER_KEY_BYTES = 32


def secret_files(authority: Authority) -> dict[str, str]:
    """Return all files by name, freshly drawn."""
    admin = secrets.token_urlsafe(24)
    files = {
        "postgres_password": admin,
        "database_admin_url": f"postgresql://postgres:{admin}@{DATABASE}",
        "ca.pem": authority.certificate.public_bytes(Encoding.PEM).decode(),
        "wallet_master_key": base64.b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode(),
        **{name: _later_key() for name in LATER_KEYS},
    }
    for service in SERVICES:
        password = secrets.token_urlsafe(24)
        files[f"{service}_db_password"] = password
        files[f"{service}_database_url"] = f"postgresql://{role_of(service)}:{password}@{DATABASE}"
    for name in PARTS:
        issued = authority.issue(CallerKind.SERVICE, name, days=DAYS)
        files |= {file: content.decode() for file, content in _certificate(name, issued).items()}
    return files


def _later_key() -> str:
    return base64.b64encode(secrets.token_bytes(LATER_KEY_BYTES)).decode()


def _certificate(name: str, issued: Issued) -> dict[str, bytes]:
    return {f"{name}.pem": issued.certificate, f"{name}.key": issued.key}


def draw(folder: Path) -> None:
    """Write all files into an empty folder.

    The folder is closed to others. The files in it are not: the containers' user, who is nobody on
    this machine, reads each of them through a mount of its own.
    """
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    authority = make_authority(TRUST_DOMAIN)
    # For the operator's command, on this machine only.
    authority.save(folder / AUTHORITY)
    authority.issue(CallerKind.OPERATOR, OPERATOR, days=DAYS).save(folder / AUTHORITY, OPERATOR)
    for name, text in secret_files(authority).items():
        _write(folder / name, text.encode())
    (folder / WALLET).mkdir()
    (folder / WALLET).chmod(0o755)


def renew(folder: Path) -> None:
    """Write new certificates and their keys over the old ones, and nothing else.

    Raise OSError or ValueError, before anything is written, when the authority is not there or did
    not make them.
    """
    authority = load_authority(folder / AUTHORITY)
    trusted = (folder / "ca.pem").read_bytes()
    if authority.certificate.public_bytes(Encoding.PEM) not in trusted:
        raise ValueError(f"{folder / AUTHORITY} is not the authority of {folder / 'ca.pem'}")
    files: dict[str, bytes] = {}
    for name in PARTS:
        path = folder / f"{name}.pem"
        # A folder from before the gateway has no certificate of it.
        issued = (
            _renewed(authority, path)
            if path.exists()
            else authority.issue(CallerKind.SERVICE, name, days=DAYS)
        )
        files |= _certificate(name, issued)
    for name in LATER_KEYS:
        if not (folder / name).exists():
            files[name] = _later_key().encode()
    for name, content in files.items():
        _write(folder / name, content)
    # The operator may keep the certificate elsewhere.
    if (operator := folder / AUTHORITY / f"{OPERATOR}.pem").exists():
        _renewed(authority, operator).save(folder / AUTHORITY, OPERATOR)


def _renewed(authority: Authority, path: Path) -> Issued:
    try:
        return authority.renew(path.read_bytes(), days=DAYS)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _write(path: Path, content: bytes) -> None:
    """Write into the file that is there, if there is one.

    A running container has just that file mounted, and would not see another one that takes its
    name. A service goes on with what it has until certificate and key fit together.
    """
    path.write_bytes(content)
    path.chmod(0o644)


def main(arguments: list[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    folder: Path = options.folder
    try:
        if options.renew:
            renew(folder)
            done = f"certificates renewed in {folder}; now: docker compose restart postgres"
        elif folder.exists() and any(folder.iterdir()):
            done = f"{folder} has some already; nothing changed"
        else:
            draw(folder)
            done = f"written to {folder}"
    except (OSError, ValueError) as error:
        sys.stderr.write(f"secrets: {error}\n")
        return 1
    sys.stdout.write(f"secrets: {done}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER)
    parser.add_argument("--renew", action="store_true", help="renew the certificates only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
