"""The check that a server's settings let nobody read what callers send."""

from pathlib import Path

from libs.common.local import LOCAL_HOSTS


def check_tls(
    cert_file: Path | None,
    key_file: Path | None,
    *,
    host: str,
    behind_proxy: bool,
    prefix: str,
    proxy_setting: str,
    shown: str,
) -> None:
    """Raise ValueError for half of a pair of files, and for plain HTTP that others can read.

    The messages name the settings: `prefix` is what both names begin with, `shown` is what plain
    HTTP would show.
    """
    both = f"{prefix}_CERT_FILE and {prefix}_KEY_FILE"
    if (cert_file is None) != (key_file is None):
        raise ValueError(f"set both of {both}, or none")
    if cert_file is None and host not in LOCAL_HOSTS and not behind_proxy:
        raise ValueError(
            f"plain HTTP shows {shown} to whoever listens: set {both}, or {proxy_setting}=true "
            "where a proxy speaks TLS"
        )
