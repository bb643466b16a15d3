"""Security of connections to PostgreSQL: verified TLS, unless they stay on this machine."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from libs.common.local import LOCAL_HOSTS
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
            if mode != _PROVEN and not is_local(self.dsn):
                log.warning("nobody proves that PostgreSQL is the right one", sslmode=mode)
            return None
        if is_local(self.dsn):
            return None
        return ssl.create_default_context(cafile=self.authority)


def is_local(dsn: str) -> bool:
    """Tell whether all hosts of an address are this machine."""
    parts = urlsplit(dsn)
    netloc = parts.netloc.rpartition("@")[2]
    named = netloc.split(",") if netloc else parse_qs(parts.query).get("host", [""])[-1].split(",")
    # A folder of sockets begins with a slash.
    return all(
        _host(item) in LOCAL_HOSTS or item.startswith(("/", "%2F")) or not item for item in named
    )


def _host(text: str) -> str:
    """Return the host of host, host:port or [host]:port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].lower()
