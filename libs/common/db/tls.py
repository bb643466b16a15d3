"""Security of connections to PostgreSQL: verified TLS, unless they stay on this machine."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from libs.common.local import LOCAL_HOSTS, host_of
from libs.common.log import get_logger

log = get_logger(__name__)

#: The mode that proves who answers: https://www.postgresql.org/docs/current/libpq-ssl.html
_PROVEN = "verify-full"


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """The address of PostgreSQL, and the authorities that its certificate is checked against."""

    #: postgresql://role:password@host/database; an sslmode in it is kept to.
    dsn: str
    #: Certificates (PEM) of the authorities whose word counts; None: the system's.
    authority: Path | None = None

    def security(self) -> ssl.SSLContext | None:
        """Return asyncpg's argument `ssl`; None leaves the choice to the address.

        Raise OSError or ssl.SSLError when the authorities' file cannot be read.
        """
        mode = parse_qs(urlsplit(self.dsn).query).get("sslmode", [""])[-1]
        if mode:
            if mode != _PROVEN and not is_local_database(self.dsn):
                log.warning("nobody proves that PostgreSQL is the right one", sslmode=mode)
            return None
        if is_local_database(self.dsn):
            return None
        return ssl.create_default_context(cafile=self.authority)


def check_dsn(dsn: str) -> str:
    """Return an address of PostgreSQL as it was given.

    Raise ValueError for a text that is none, without repeating it: it may have a password.
    """
    form = "must be postgresql://role:password@host:port/database"
    try:
        parts = urlsplit(dsn)
    except ValueError:
        raise ValueError(form) from None
    if parts.scheme not in {"postgresql", "postgres"} or not dsn.startswith(f"{parts.scheme}://"):
        raise ValueError(form)
    for item in parts.netloc.rpartition("@")[2].split(","):
        port = item.rpartition("]")[2].partition(":")[2]
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise ValueError(f"{form}: the port is no number from 1 to 65535")
    return dsn


def is_local_database(dsn: str) -> bool:
    """Tell whether all hosts of an address are this machine."""
    parts = urlsplit(dsn)
    netloc = parts.netloc.rpartition("@")[2]
    named = netloc.split(",") if netloc else parse_qs(parts.query).get("host", [""])[-1].split(",")
    # A folder of sockets begins with a slash.
    return all(
        host_of(item) in LOCAL_HOSTS or item.startswith(("/", "%2F")) or not item for item in named
    )
